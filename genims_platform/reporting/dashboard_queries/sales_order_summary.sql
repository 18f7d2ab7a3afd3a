-- Order intake, margin and punctuality of one customer by month
SELECT order_date - INTERVAL DAYOFMONTH(order_date) - 1 DAY AS month_start, SUM(order_count) AS order_count,
  SUM(net_revenue_inr) AS net_revenue_inr, SUM(gross_margin_inr) AS gross_margin_inr,
  100 * SUM(on_time_orders) / NULLIF(SUM(shipped_orders), 0) AS on_time_pct
FROM sales_order_summary
WHERE customer_id = %(customer_id)s AND order_date BETWEEN %(today)s - INTERVAL 12 MONTH AND %(today)s
GROUP BY month_start
ORDER BY month_start
