-- Labour efficiency and overtime of one factory's departments by week, four weeks
SELECT department, labor_date - INTERVAL WEEKDAY(labor_date) DAY AS week_start,
  100 * SUM(earned_standard_hours) / NULLIF(SUM(direct_labor_hours), 0) AS labor_efficiency_pct,
  SUM(attended_hours) AS attended_hours, SUM(overtime_hours) AS overtime_hours
FROM labor_efficiency_daily
WHERE factory_id = %(factory_id)s AND labor_date BETWEEN %(today)s - INTERVAL 27 DAY AND %(today)s
GROUP BY department, week_start
ORDER BY department, week_start
