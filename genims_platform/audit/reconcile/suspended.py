"""Comparisons of times in which capture of a table was suspended: they say so instead of OK."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from psycopg2 import extensions

from genims_platform.audit.capture.suspensions import Window, read_windows
from genims_platform.audit.reconcile.comparison import Comparison

_TICKS = "SELECT tick_id, at FROM audit.tick WHERE tick_id = ANY (%s)"


def with_suspensions(queue: extensions.connection, found: Sequence[Comparison]) -> list[Comparison]:
    """The same comparisons, SUSPENDED where they would be OK though changes of a table may be missing.

    A gap stays a gap. Where tables are compared, one that has no events for being suspended gets a comparison too.
    """
    with queue.cursor() as cursor:
        windows = [window for some in read_windows(cursor).values() for window in some]
        if not windows:
            return list(found)
        cursor.execute(_TICKS, ([tick for one in found for tick in (one.tick_from, one.tick_to)],))
        times: Mapping[int | None, datetime] = dict(cursor.fetchall())
    done: list[Comparison] = []
    for comparison in found:
        start, end = times.get(comparison.tick_from), times.get(comparison.tick_to)
        if comparison.status != "OK" or start is None or end is None:
            done.append(comparison)
            continue
        missing = {window.table: window for window in windows if window.overlaps(start, end)}
        if comparison.table is None:
            done.append(_suspended(comparison, tuple(missing.values())))
            compared = {one.table for one in found if _range(one) == _range(comparison)}
            if compared != {None}:
                nothing = replace(comparison, expected=(0, 0), actual=(0, 0))
                done += (
                    _suspended(replace(nothing, table=table), (window,))
                    for table, window in sorted(missing.items())
                    if table not in compared
                )
        else:
            done.append(_suspended(comparison, tuple(missing[name] for name in missing if name == comparison.table)))
    return done


def _suspended(comparison: Comparison, windows: Sequence[Window]) -> Comparison:
    if not windows:
        return comparison
    told = {
        window.table: {
            "since": window.since.isoformat(),
            "until": None if window.until is None else window.until.isoformat(),
            "approval": window.approval,
        }
        for window in windows
    }
    reason = f"capture was suspended: {', '.join(sorted(told))}"
    notes = {**(comparison.notes or {}), "reason": reason, "suspended": told}
    return replace(comparison, verdict="SUSPENDED", notes=notes)


def _range(comparison: Comparison) -> tuple[int | None, int | None]:
    return comparison.tick_from, comparison.tick_to
