"""Stock, material flow, purchasing and warehouses: one model a file."""
