-- On time in full by carrier over 13 weeks
SELECT carrier_id, MAX(carrier_name) AS carrier_name, SUM(shipment_count) AS shipment_count,
  100 * SUM(otif_count) / NULLIF(SUM(valid_shipments), 0) AS otif_pct, SUM(freight_cost_inr) AS freight_cost_inr,
  SUM(damaged_count) AS damaged_count
FROM delivery_performance
WHERE delivery_date BETWEEN %(today)s - INTERVAL 90 DAY AND %(today)s
GROUP BY carrier_id
ORDER BY otif_pct DESC
