-- Stock value by plant and class, and how much of it asks for a reorder
SELECT plant_id, abc_class, SUM(stock_value_inr) AS stock_value_inr, COUNT(*) AS item_count,
  SUM(CASE WHEN stock_status IN ('out', 'below_safety', 'below_reorder') THEN 1 ELSE 0 END) AS items_to_reorder,
  SUM(CASE WHEN stock_status = 'over_max' THEN stock_value_inr END) AS over_max_value_inr
FROM inventory_value_summary
WHERE inventory_date = %(today)s
GROUP BY plant_id, abc_class
ORDER BY plant_id, abc_class
