-- Oldest work in process and its value by line
SELECT line_id, MAX(factory_id) AS factory_id, MAX(max_age_hours) AS max_age_hours, SUM(wip_orders) AS wip_orders,
  SUM(orders_over_5d) AS orders_over_5d, SUM(wip_qty) AS wip_qty, SUM(closing_value_inr) AS closing_value_inr
FROM work_in_process
WHERE wip_date = %(today)s
GROUP BY line_id
ORDER BY max_age_hours DESC
