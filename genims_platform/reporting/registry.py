"""All reporting tables: every file of a group package declares the table it is named after."""

import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module

from genims_platform.reporting.table import ReportingTable

GROUPS = ("performance", "sales", "financial", "inventory")


@cache
def reporting_tables() -> Mapping[str, ReportingTable]:
    """Name → table, in group and name order."""
    return {table.name: table for group in GROUPS for table in _declared_in(f"{__package__}.{group}")}


def _declared_in(package_name: str) -> Iterator[ReportingTable]:
    package = import_module(package_name)
    for module in pkgutil.iter_modules(package.__path__):
        table = getattr(import_module(f"{package_name}.{module.name}"), module.name, None)
        if isinstance(table, ReportingTable):
            yield table


def columns_read(tables: Iterable[ReportingTable]) -> dict[str, frozenset[str]]:
    """Source table → columns that these tables read."""
    columns: dict[str, frozenset[str]] = {}
    for table in tables:
        for source, names in table.columns_read().items():
            columns[source] = columns.get(source, frozenset()) | names
    return columns
