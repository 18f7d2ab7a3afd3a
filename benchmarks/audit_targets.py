"""Which audited table of each source a benchmark writes to, and how its rows are made up."""

import re
from collections.abc import Mapping

from genims_platform.audit.policy import audit_policy
from genims_platform.settings import SOURCE_NAMES
from genims_platform.sources.catalogue import Column, Table, catalogue
from genims_platform_tests.audit.faults.workload import TARGETS, Target

VALUES = {"varchar": "x", "text": "x", "date": "2026-01-31", "timestamp": "2026-01-31 12:00", "boolean": "true"}
"""By type; any other gets a number."""

_MILLIONS = re.compile(r"integer|bigint|numeric\((\d+),(\d+)\)")
_DIGITS = 7


def all_targets() -> Mapping[str, Target]:
    """Source → table, for every source that has an audited table with a text key, a second text and two numbers.

    The three of the fault tests have the tables of those; another source has its largest.
    """
    found = {source: TARGETS.get(source) or _largest(source) for source in SOURCE_NAMES}
    return {source: target for source, target in found.items() if target}


def _largest(source: str) -> Target | None:
    tables = [(name, catalogue()[source][name]) for name in audit_policy().audited(source)]
    by_size = sorted(tables, key=lambda table: table[1].rows, reverse=True)
    return next((target for name, facts in by_size if (target := _target(name, facts))), None)


def _target(name: str, facts: Table) -> Target | None:
    columns = {column.name: column for column in facts.columns}
    unique = [key[0] for key in facts.unique]
    keys = {*facts.primary_key, *unique}
    texts = [column.name for column in facts.columns if _holds_text(column) and column.name not in keys]
    # A row gets no number when it is inserted, for an update that changes nothing is no event.
    free = (column for column in facts.columns if not column.not_null and column.name not in keys)
    numbers = [column.name for column in free if _holds_millions(column)]
    single = all(len(key) == 1 and _holds_text(columns[key[0]]) for key in (facts.primary_key, *facts.unique))
    if not single or len(unique) > 1 or len(numbers) < 2 or len(texts) < 2:
        return None
    number, counter = numbers[:2]
    twin = unique[0] if unique else texts[0]
    needed = tuple(
        (column.name, VALUES.get(column.type.split("(")[0], "1"))
        for column in facts.columns
        if column.not_null and column.name not in (*keys, twin)
    )
    key = facts.primary_key[0]
    return Target(name, key, counter, columns[counter].type, texts[-1], texts[-1], number, twin, needed)


def _holds_text(column: Column) -> bool:
    return column.type.startswith("varchar") and int(column.type[8:-1]) >= 20


def _holds_millions(column: Column) -> bool:
    found = _MILLIONS.fullmatch(column.type)
    return found is not None and (found[1] is None or int(found[1]) - int(found[2]) >= _DIGITS)
