-- Cash calendar of 30 days
SELECT cash_flow_date, receipts_due_inr, supplier_due_inr, payroll_due_inr, refunds_inr, expected_net_inr,
  net_cash_flow_inr, cash_position_inr
FROM cash_flow_daily
WHERE cash_flow_date BETWEEN %(today)s - INTERVAL 29 DAY AND %(today)s
ORDER BY cash_flow_date
