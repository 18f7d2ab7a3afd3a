-- Back orders by plant
SELECT plant_id, COUNT(*) AS materials, SUM(backorder_qty) AS backorder_qty, SUM(overdue_order_qty) AS overdue_order_qty,
  SUM(stock_qty) AS stock_qty
FROM finished_goods_warehouse
WHERE stock_date = %(today)s AND backorder_qty > 0
GROUP BY plant_id
ORDER BY backorder_qty DESC
