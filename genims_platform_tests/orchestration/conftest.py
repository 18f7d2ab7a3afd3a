"""Fixtures of the refresh tests."""

from genims_platform_tests.factory_group import factory, reporting

__all__ = ["factory", "reporting"]
