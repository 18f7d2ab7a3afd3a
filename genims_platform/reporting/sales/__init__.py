"""Customers, orders, deliveries and service: one model a file."""
