-- Stock value older than 90 days by warehouse
SELECT warehouse_id, MAX(plant_id) AS plant_id, SUM(slow_moving_value_inr) AS slow_moving_value_inr,
  SUM(stock_value_inr) AS stock_value_inr, SUM(expired_qty) AS expired_qty, SUM(expiring_90d_qty) AS expiring_90d_qty
FROM stock_aging_summary
WHERE aging_date = %(today)s
GROUP BY warehouse_id
ORDER BY slow_moving_value_inr DESC
