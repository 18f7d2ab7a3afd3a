-- Critical spare parts at or below their reorder point
SELECT part_register, part_id, part_name, criticality, on_hand_qty, reorder_point, days_of_cover, lead_time_days,
  stockout_risk
FROM spare_parts_inventory
WHERE stock_date = %(today)s AND criticality IN ('critical', 'high') AND on_hand_qty <= reorder_point
ORDER BY criticality, days_of_cover
