"""Grouping of missing hours."""

from datetime import datetime, timedelta

import dagster as dg

from genims_platform.orchestration.gaps import group_gaps
from genims_platform.orchestration.partitions import key_of

ONE, TWO = dg.AssetKey("one"), dg.AssetKey("two")


def hours(first: datetime, count: int) -> list[str]:
    return [key_of(first + timedelta(hours=n)) for n in range(count)]


def test_a_hole_of_thirty_hours_becomes_ranges_within_days_newest_first() -> None:
    hole = dict.fromkeys(hours(datetime(2026, 2, 27, 20), 30), frozenset({ONE}))
    assert [(gap.first, gap.last) for gap in group_gaps(hole)] == [
        ("2026-03-01-00:00", "2026-03-01-01:00"),
        ("2026-02-28-00:00", "2026-02-28-23:00"),
        ("2026-02-27-20:00", "2026-02-27-23:00"),
    ]


def test_hours_that_lack_different_assets_are_different_gaps() -> None:
    first, second, third = hours(datetime(2026, 3, 1, 5), 3)
    gaps = group_gaps({first: frozenset({ONE}), second: frozenset({ONE, TWO}), third: frozenset({ONE, TWO})})
    assert [(gap.first, gap.last, gap.assets) for gap in gaps] == [
        (second, third, {ONE, TWO}),
        (first, first, {ONE}),
    ]
