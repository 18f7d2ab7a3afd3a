-- Labour efficiency and overtime by factory, department and week, four weeks
SELECT labor_date - INTERVAL WEEKDAY(labor_date) DAY AS week_start, factory_id, department,
  100 * SUM(earned_standard_hours) / NULLIF(SUM(direct_labor_hours), 0) AS labor_efficiency_pct,
  SUM(attended_hours) AS attended_hours, SUM(overtime_hours) AS overtime_hours
FROM labor_efficiency_daily
WHERE labor_date BETWEEN %(today)s - INTERVAL 27 DAY AND %(today)s
GROUP BY week_start, factory_id, department
ORDER BY factory_id, department, week_start
