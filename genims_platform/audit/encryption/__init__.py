"""Personal values in the audit trail: a key for each person, what is stored under it, and how it is destroyed."""
