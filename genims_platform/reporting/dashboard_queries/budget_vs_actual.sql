-- Cost centres and accounts of this month that leave their budget
SELECT cost_center_id, cost_center_name, account_code, account_name, ytd_budget_inr, ytd_actual_inr, ytd_variance_inr,
  ytd_variance_pct
FROM budget_vs_actual
WHERE budget_month = %(month)s AND status = 'risk'
ORDER BY ABS(ytd_variance_inr) DESC
