-- What is overdue to suppliers, largest first
SELECT supplier_id, supplier_name, overdue_amount_inr, overdue_1_30_inr, overdue_31_60_inr, overdue_61_90_inr,
  overdue_over_90_inr, oldest_overdue_days, open_amount_inr
FROM accounts_payable_aging
WHERE aging_date = %(today)s AND overdue_amount_inr > 0
ORDER BY overdue_amount_inr DESC
