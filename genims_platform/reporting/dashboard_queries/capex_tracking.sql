-- Book value of machines and open capital requests by plant
SELECT factory_id, capex_object_type, COUNT(*) AS object_count, SUM(net_book_value_inr) AS net_book_value_inr,
  SUM(depreciation_month_usd) AS depreciation_month_usd, SUM(requested_inr) AS requested_inr
FROM capex_tracking
WHERE capex_month = %(month)s
GROUP BY factory_id, capex_object_type
ORDER BY factory_id, capex_object_type
