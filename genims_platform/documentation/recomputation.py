"""What a run of a reporting table computes anew, in words."""

from collections.abc import Iterator

from genims_platform.reporting.periods import LATE_DAYS
from genims_platform.reporting.table import ReportingTable


def recomputation(table: ReportingTable) -> str:
    """Which periods an hour of source events publishes, and which ones later facts change."""
    return " ".join(_snapshot(table) if table.period == "snapshot" else _sentences(table))


def period_in_words(table: ReportingTable) -> str:
    """The period that a row belongs to."""
    return "snapshot of the present day" if table.period == "snapshot" else table.period


def _snapshot(table: ReportingTable) -> Iterator[str]:
    yield "A run publishes the present day, and only if its hours reach it: the sources know only their present state."
    yield "Earlier days stay as they were written until they leave the 12-month window."
    if table.rolling_days > 1:
        yield f"Measures look back over {table.rolling_days} days."


def _sentences(table: ReportingTable) -> Iterator[str]:
    before = f", and {_count(table.recompute, table.period)} before," if table.recompute else ""
    yield f"A run publishes each {table.period} that its hours touch{before} from all that the sources know."
    if table.touched is not None:
        yield f"It also publishes {table.period}s whose rows are linked to its events by a key."
    if table.rolling_days > 1:
        yield (
            f"Measures reach back over {table.rolling_days} days, so {table.period}s that follow are repeated where "
            "they are published."
        )
    if table.horizon:
        closes = "the daily close" if table.horizon_days <= LATE_DAYS else "the daily and the weekly close"
        yield (
            f"Late facts can change a row for {_count(table.horizon, table.period)}; {closes} repeats "
            f"{'it' if table.horizon == 1 else 'them'} and publishes what changed."
        )
    else:
        yield "No later fact changes a closed one."


def _count(number: int, unit: str) -> str:
    return f"a {unit}" if number == 1 else f"{number} {unit}s"
