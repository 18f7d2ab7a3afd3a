"""Tests of genims_platform.mysql on real servers."""
