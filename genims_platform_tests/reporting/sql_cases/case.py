"""A measure of a table computed a second way, by plain SQL on the sources."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

Figures = dict[tuple[object, ...], float | None]
Query = Callable[[str, str], list[tuple[object, ...]]]
"""Rows of a statement on a source; %(day)s is the first instant of the period, %(as_of)s that of the refresh."""


@dataclass(frozen=True)
class Case:
    """`expected` gives `measure` by `keys`, for the stored rows of a period that meet `where`."""

    table: str
    measure: str
    keys: str
    expected: Callable[[Query], Figures]
    where: str = "TRUE"


def by_key(database: str, statement: str) -> Callable[[Query], Figures]:
    """The last column of a statement by all the others."""

    def expected(query: Query) -> Figures:
        return {key: number(value) for *parts, value in query(database, statement) for key in [tuple(parts)]}

    return expected


def number(value: object) -> float | None:
    assert value is None or isinstance(value, int | float | Decimal)
    return None if value is None else float(value)
