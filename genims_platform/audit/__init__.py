"""The audit trail: what is captured in the sources and how it reaches the audit database."""
