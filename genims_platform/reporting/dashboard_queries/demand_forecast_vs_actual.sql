-- The ten products of the month whose demand was forecast worst
SELECT product_id, product_name, forecast_qty, actual_order_qty, forecast_accuracy_pct, bias_pct, tracking_signal
FROM demand_forecast_vs_actual
WHERE forecast_month = %(month)s AND forecast_accuracy_pct IS NOT NULL
ORDER BY forecast_accuracy_pct
LIMIT 10
