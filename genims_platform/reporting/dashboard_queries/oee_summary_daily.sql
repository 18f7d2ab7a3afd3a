-- OEE of a factory's lines by day, with the losses for a heat map and a waterfall
SELECT line_id, oee_date, line_name, oee_pct, availability_loss_pct, performance_loss_pct, quality_loss_pct, oee_basis
FROM oee_summary_daily
WHERE factory_id = %(factory_id)s AND oee_date BETWEEN %(today)s - INTERVAL 29 DAY AND %(today)s
ORDER BY line_id, oee_date
