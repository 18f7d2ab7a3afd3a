-- Trend of the ratios over eight quarters
SELECT ratio_month, gross_margin_pct, operating_margin_pct, current_ratio, debt_to_equity, dso_days, dpo_days, dio_days,
  cash_conversion_days
FROM financial_ratios
WHERE ratio_month BETWEEN %(month)s - INTERVAL 23 MONTH AND %(month)s
ORDER BY ratio_month
