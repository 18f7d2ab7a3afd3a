-- Plan against actual per line for a week
SELECT line_id, MAX(line_name) AS line_name, SUM(planned_units) AS planned_units, SUM(units_good) AS units_good,
  100 * SUM(units_good) / NULLIF(SUM(planned_units), 0) AS attainment_pct,
  SUM(standard_cost_inr) AS standard_cost_inr, SUM(actual_cost_inr) AS actual_cost_inr
FROM production_summary_daily
WHERE production_date BETWEEN %(today)s - INTERVAL 6 DAY AND %(today)s
GROUP BY line_id
ORDER BY line_id
