-- OEE of one factory's machines over 30 days, worst first
SELECT machine_id, MAX(machine_name) AS machine_name,
  SUM(oee_pct * planned_busy_minutes) / NULLIF(SUM(CASE WHEN oee_pct IS NOT NULL THEN planned_busy_minutes END), 0)
    AS oee_pct,
  100 * SUM(run_minutes) / NULLIF(SUM(planned_busy_minutes), 0) AS availability_pct,
  SUM(down_minutes) AS down_minutes, SUM(breakdown_count) AS breakdown_count
FROM machine_performance_daily
WHERE factory_id = %(factory_id)s AND performance_date BETWEEN %(today)s - INTERVAL 29 DAY AND %(today)s
GROUP BY machine_id
ORDER BY oee_pct
