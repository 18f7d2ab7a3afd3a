-- Defects per million of one product against its target by week, with their severity
SELECT quality_date - INTERVAL WEEKDAY(quality_date) DAY AS week_start,
  1000000 * SUM(defect_quantity) / NULLIF(SUM(units_produced), 0) AS defect_ppm, MAX(target_ppm) AS target_ppm,
  SUM(defects_critical) AS defects_critical, SUM(defects_major) AS defects_major, SUM(defects_minor) AS defects_minor
FROM quality_summary_daily
WHERE product_id = %(product_id)s AND quality_date BETWEEN %(today)s - INTERVAL 90 DAY AND %(today)s
GROUP BY week_start
ORDER BY week_start
