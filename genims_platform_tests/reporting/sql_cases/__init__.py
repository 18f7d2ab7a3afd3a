"""Second ways to a headline measure of every table, a module a business area."""

import pkgutil
from importlib import import_module

from genims_platform_tests.reporting.sql_cases.case import Case


def all_cases() -> list[Case]:
    """The cases of every module of this package that has some."""
    modules = (import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    return [case for module in modules for case in getattr(module, "CASES", [])]
