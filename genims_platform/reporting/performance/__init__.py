"""Manufacturing performance: OEE, production, downtime, quality, labour, energy and safety by day."""
