"""Tests of genims_platform.sources."""
