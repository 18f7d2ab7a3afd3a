-- TRIR and LTIFR of each plant at the end of the last twelve months and today
SELECT factory_id, safety_date, factory_name, trir_12m, ltifr_12m, days_since_lost_time
FROM safety_compliance_daily
WHERE safety_date IN (
  %(today)s, LAST_DAY(%(today)s - INTERVAL 1 MONTH), LAST_DAY(%(today)s - INTERVAL 2 MONTH),
  LAST_DAY(%(today)s - INTERVAL 3 MONTH), LAST_DAY(%(today)s - INTERVAL 4 MONTH),
  LAST_DAY(%(today)s - INTERVAL 5 MONTH), LAST_DAY(%(today)s - INTERVAL 6 MONTH),
  LAST_DAY(%(today)s - INTERVAL 7 MONTH), LAST_DAY(%(today)s - INTERVAL 8 MONTH),
  LAST_DAY(%(today)s - INTERVAL 9 MONTH), LAST_DAY(%(today)s - INTERVAL 10 MONTH),
  LAST_DAY(%(today)s - INTERVAL 11 MONTH), LAST_DAY(%(today)s - INTERVAL 12 MONTH)
)
ORDER BY factory_id, safety_date
