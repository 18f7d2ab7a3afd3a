-- Customers that are likely to leave, largest sales of the year first
SELECT customer_id, customer_name, churn_risk_score, ytd_sales_inr, days_since_last_order, sales_change_pct,
  on_time_pct_90d, csat_avg_90d
FROM customer_performance
WHERE performance_month = %(month)s AND churn_risk_band = 'high'
ORDER BY ytd_sales_inr DESC
