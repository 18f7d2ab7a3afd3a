"""Tests of genims_platform.audit.capture."""
