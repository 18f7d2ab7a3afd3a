-- Movement card of one material in one plant, 90 days
SELECT flow_date, opening_qty, receipts_qty, production_in_qty, production_issue_qty, production_return_qty,
  shipped_qty, customer_return_qty, adjustment_qty, closing_qty, unexplained_qty
FROM material_flow_daily
WHERE material_id = %(material_id)s AND plant_id = %(plant_id)s
  AND flow_date BETWEEN %(today)s - INTERVAL 89 DAY AND %(today)s
ORDER BY flow_date
