-- The ten products with most revenue this month, with their growth
SELECT product_id, product_name, revenue_inr, revenue_share_pct, gross_margin_pct, mom_growth_pct, yoy_growth_pct
FROM product_sales_performance
WHERE sales_month = %(month)s
ORDER BY revenue_inr DESC
LIMIT 10
