-- Unit cost of one product by plant and week against standard, 13 weeks
SELECT factory_id, cost_date - INTERVAL WEEKDAY(cost_date) DAY AS week_start, SUM(units_good) AS units_good,
  SUM(actual_cost_inr) / NULLIF(SUM(units_good), 0) AS actual_unit_cost_inr,
  SUM(standard_cost_inr) / NULLIF(SUM(units_good), 0) AS standard_unit_cost_inr
FROM cost_analysis_daily
WHERE product_id = %(product_id)s AND cost_date BETWEEN %(today)s - INTERVAL 90 DAY AND %(today)s
GROUP BY factory_id, week_start
ORDER BY factory_id, week_start
