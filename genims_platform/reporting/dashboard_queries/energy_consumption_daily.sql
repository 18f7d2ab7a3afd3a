-- Energy of a good piece by line and week in one factory, 13 weeks
SELECT line_id, energy_date - INTERVAL WEEKDAY(energy_date) DAY AS week_start, SUM(total_kwh) AS total_kwh,
  SUM(total_kwh) / NULLIF(SUM(units_good), 0) AS kwh_per_good_unit,
  100 * SUM(non_productive_kwh) / NULLIF(SUM(total_kwh), 0) AS non_productive_pct
FROM energy_consumption_daily
WHERE factory_id = %(factory_id)s AND energy_date BETWEEN %(today)s - INTERVAL 90 DAY AND %(today)s
GROUP BY line_id, week_start
ORDER BY line_id, week_start
