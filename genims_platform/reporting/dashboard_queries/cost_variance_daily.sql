-- The largest unfavourable variances of one type this week
SELECT variance_date, factory_id, object_id, object_name, actual_amount_inr, standard_amount_inr, variance_inr,
  price_variance_inr, quantity_variance_inr
FROM cost_variance_daily
WHERE variance_type = %(variance_type)s AND variance_date BETWEEN %(today)s - INTERVAL 6 DAY AND %(today)s
  AND variance_inr > 0
ORDER BY variance_inr DESC
LIMIT 20
