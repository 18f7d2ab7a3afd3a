"""After the audit database was set back to an earlier point: giving the same events their numbers again."""
