"""Comparison of the audit trail with the queues of its sources: nothing missing, nothing invented, nothing twice."""
