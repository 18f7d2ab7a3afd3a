-- The funnel of today beside that of 30 days ago
SELECT today.record_type, today.stage, today.record_count, today.amount_inr, today.stage_weighted_inr,
  before_30d.record_count AS record_count_30d_ago, before_30d.amount_inr AS amount_inr_30d_ago
FROM sales_pipeline_summary today
LEFT JOIN sales_pipeline_summary before_30d
  ON before_30d.pipeline_date = %(today)s - INTERVAL 30 DAY AND before_30d.record_type = today.record_type
  AND before_30d.stage = today.stage
WHERE today.pipeline_date = %(today)s
ORDER BY today.record_type, today.stage
