-- Service levels, satisfaction and backlog of one customer by day, 13 weeks
SELECT service_date, tickets_created, response_sla_met_pct, resolution_sla_met_pct, csat_avg, backlog_open,
  backlog_overdue
FROM customer_service_summary
WHERE customer_id = %(customer_id)s AND service_date BETWEEN %(today)s - INTERVAL 90 DAY AND %(today)s
ORDER BY service_date
