"""Events as they will be stored, before they have a number."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

Value = int | str | bytes | Decimal | datetime | date | None
"""What a column may be given; a datetime is naive UTC."""

Columns = Mapping[str, Value]
"""Column → value; a column that is NULL may be left out."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event: a row of the ledger and the detail rows that explain it.

    The five columns that all tables share, and `incarnation`, are not among the columns; they come with the number.
    """

    ledger: Columns
    details: tuple[tuple[str, Columns], ...] = ()
    """Table and row; rows of one table keep this order, which gives them their `item_no`."""
