-- Overdue orders and price variance by supplier, orders of 90 days
SELECT supplier_id, MAX(supplier_name) AS supplier_name, SUM(overdue_po_count) AS overdue_po_count,
  SUM(ppv_inr) AS ppv_inr, SUM(po_value_inr) AS po_value_inr,
  100 * SUM(on_time_po_count) / NULLIF(SUM(received_po_count), 0) AS on_time_pct
FROM purchase_order_performance
WHERE po_date BETWEEN %(today)s - INTERVAL 89 DAY AND %(today)s
GROUP BY supplier_id
ORDER BY overdue_po_count DESC, ppv_inr DESC
