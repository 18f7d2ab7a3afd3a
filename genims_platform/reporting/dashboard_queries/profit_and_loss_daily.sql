-- Result of the month to date by plant
SELECT factory_id, MAX(factory_name) AS factory_name, SUM(revenue_inr) AS revenue_inr,
  SUM(gross_margin_inr) AS gross_margin_inr, SUM(operating_expenses_inr) AS operating_expenses_inr,
  SUM(operating_income_inr) AS operating_income_inr, SUM(revenue_vs_budget_inr) AS revenue_vs_budget_inr
FROM profit_and_loss_daily
WHERE pnl_date BETWEEN %(month)s AND %(today)s
GROUP BY factory_id
ORDER BY factory_id
