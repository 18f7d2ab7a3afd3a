-- Suppliers of this month by score, with risk and spend
SELECT supplier_id, supplier_name, overall_score, performance_rating, risk_level, spend_inr, otd_pct,
  quality_acceptance_pct
FROM supplier_performance
WHERE performance_month = %(month)s
ORDER BY overall_score DESC
