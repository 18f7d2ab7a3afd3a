-- The ten machines with most breakdown minutes this month, with their MTBF
WITH worst AS (
  SELECT machine_id, SUM(breakdown_downtime_minutes) AS breakdown_minutes, SUM(breakdown_count) AS breakdowns,
    MAX(downtime_date) AS last_day
  FROM downtime_summary_daily
  WHERE downtime_date BETWEEN %(month)s AND %(today)s
  GROUP BY machine_id
  ORDER BY breakdown_minutes DESC
  LIMIT 10
)
SELECT worst.machine_id, latest.machine_name, worst.breakdown_minutes, worst.breakdowns, latest.mtbf_hours_30d,
  latest.mttr_hours_30d
FROM worst
JOIN downtime_summary_daily latest ON latest.downtime_date = worst.last_day AND latest.machine_id = worst.machine_id
ORDER BY worst.breakdown_minutes DESC
