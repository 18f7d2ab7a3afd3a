"""Small parts of the relay that need no server."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genims_platform.audit.capture.queue import EventKey
from genims_platform.audit.relay.bulk_scan import BulkScan
from genims_platform.audit.relay.event_range import Keys
from genims_platform.audit.relay.failpoints import Failpoint
from genims_platform.audit.relay.latency import LatencyWindow
from genims_platform.audit.relay.polling import Backoff, Pace
from genims_platform.audit.routing.bulk import bulk_groups
from genims_platform.settings import SettingsError


def test_polling_slows_down_while_nothing_happens_and_is_fast_again_at_once() -> None:
    pace = Pace(0.05, 0.4)
    pauses = [pace.after(found=False) for _ in range(1000)]
    assert pauses[:4] == [0.05] * 4
    assert pauses[4:7] == [0.1, 0.2, 0.4]
    assert set(pauses[7:]) == {0.4}
    assert pace.after(found=True) == 0.05


def test_attempts_are_further_and_further_apart_up_to_five_seconds() -> None:
    backoff = Backoff()
    pauses = [backoff.after_failure() for _ in range(100)]
    assert 0.15 <= pauses[0] <= 0.25
    assert all(3.75 <= pause <= 6.25 for pause in pauses[10:])
    assert len(set(pauses)) > 90
    backoff.succeeded()
    assert backoff.after_failure() <= 0.25


def test_a_failpoint_fires_once_at_its_passing() -> None:
    killed: list[int] = []
    failpoint = Failpoint("before_commit:3", lambda: killed.append(1))
    for _ in range(5):
        failpoint("after_tick")
        failpoint("before_commit")
    assert killed == [1]


@pytest.mark.parametrize("setting", ["before_commit", "before_commit:0", "nowhere:1", "before_commit:x"])
def test_a_failpoint_that_does_not_exist_is_refused(setting: str) -> None:
    with pytest.raises(SettingsError, match="AUDIT_FAILPOINT"):
        Failpoint(setting)


def test_keys_are_what_was_put_in() -> None:
    rows = [(number % 32, number, 2**40 + number, f"t{number % 3}", "UPDATE", 100) for number in range(1000)]
    keys = Keys(rows)
    assert list(keys) == [EventKey(*row[:5]) for row in rows]
    assert keys[10:12] == [EventKey(*rows[10][:5]), EventKey(*rows[11][:5])]
    assert len(keys) == 1000


def test_a_slice_of_keys_has_room_for_its_images_and_never_none() -> None:
    keys = Keys((0, number, 1, "t", "INSERT", size) for number, size in enumerate((10, 10, 10**6, 10)))
    assert keys.until(0, 1000, 100) == 2
    assert keys.until(2, 1000, 100) == 3
    assert keys.until(3, 1000, 100) == 4
    assert keys.until(0, 1, 100) == 1


@given(
    transactions=st.lists(st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=9), max_size=12),
    cuts=st.sets(st.integers(1, 60)),
    start=st.integers(0, 40),
)
def test_bulk_operations_are_the_same_however_a_range_is_cut(
    transactions: list[list[str]], cuts: set[int], start: int
) -> None:
    tables = [(number, table) for number, transaction in enumerate(transactions) for table in transaction]
    keys = Keys((0, position, xid, table, "INSERT", 10) for position, (xid, table) in enumerate(tables))
    start = min(start, len(keys))
    edges = [start, *sorted(cut for cut in cuts if start < cut < len(keys)), len(keys)]
    scan = BulkScan(keys, 4, start)
    parts = [scan.within(first, last) for first, last in pairwise(edges)]

    whole = {number: group for number, group in bulk_groups(keys, 4).items() if number >= start}
    assert {number: group for part in parts for number, group in part.items()} == whole
    assert all(set(part) <= set(range(*edge)) for part, edge in zip(parts, pairwise(edges), strict=True))


def test_latency_is_measured_in_milliseconds_and_never_below_zero() -> None:
    window = LatencyWindow()
    assert window.summary().p99_ms is None
    window.add([0.0, 0.9, 1.5], 1.0)
    summary = window.summary()
    assert (summary.p50_ms, summary.max_ms) == (100, 1000)
