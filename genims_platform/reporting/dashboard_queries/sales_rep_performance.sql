-- Representatives of this month by quota attainment
SELECT sales_rep_id, rep_code, territory_id, booked_revenue_inr, quota_month_inr, quota_attainment_pct,
  ytd_attainment_pct, win_rate_pct
FROM sales_rep_performance
WHERE performance_month = %(month)s
ORDER BY quota_attainment_pct DESC, booked_revenue_inr DESC
