"""Tests of what happens after the audit database was restored to an earlier point."""
