"""Tests of genims_platform.audit.ledger."""
