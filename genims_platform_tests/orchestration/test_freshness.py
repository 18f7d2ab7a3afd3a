"""What the record of a table's hours says about its freshness."""

from datetime import datetime, timedelta

from genims_platform.orchestration.freshness_checks import shortcomings
from genims_platform.orchestration.gaps import HourStatus

NEWEST = datetime(2026, 3, 10, 13)
HOUR = timedelta(hours=1)
OLDER, OLDEST = NEWEST - HOUR, NEWEST - 2 * HOUR
NONE: frozenset[datetime] = frozenset()


def test_a_table_without_gaps_is_fresh_also_while_the_newest_hour_is_running() -> None:
    assert shortcomings(HourStatus(NEWEST, frozenset({NEWEST, OLDER}), NONE, NONE, NONE)) == []
    assert shortcomings(HourStatus(NEWEST, frozenset({OLDER}), frozenset({NEWEST}), NONE, NONE)) == []


def test_a_table_that_lags_or_lacks_hours_says_which() -> None:
    status = HourStatus(NEWEST, NONE, NONE, failed=frozenset({OLDEST}), missing=frozenset({NEWEST, OLDER}))
    assert shortcomings(status) == [
        "the newest closed hour, 2026-03-10-13:00, is not published",
        "2 hours of the window are missing, the newest of them 2026-03-10-13:00, 2026-03-10-12:00",
        "1 hours of the window are failed, the newest of them 2026-03-10-11:00",
    ]
