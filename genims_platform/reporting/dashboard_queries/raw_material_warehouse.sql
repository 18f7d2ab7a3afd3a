-- Materials of each plant that are about to run out
SELECT plant_id, material_id, material_name, stock_qty, avg_daily_usage, days_of_cover, lead_time_days, next_po_date,
  suggested_order_qty
FROM raw_material_warehouse
WHERE stock_date = %(today)s AND stockout_risk = 'high'
ORDER BY plant_id, days_of_cover
