-- Workload of one warehouse by day, 30 days
SELECT operation_date, receipts, putaways, waves, pick_tasks, picked_qty, picks_open, pack_tasks, ship_tasks, shipments
FROM warehouse_operations_daily
WHERE warehouse_id = %(warehouse_id)s AND operation_date BETWEEN %(today)s - INTERVAL 29 DAY AND %(today)s
ORDER BY operation_date
