"""How often the tables of the trail are told what was written."""

from datetime import datetime, timedelta

from genims_platform.orchestration.audit.tally import Tally, Written

NOW = datetime(2026, 11, 22, 12)
MINUTE = timedelta(minutes=1)


def test_a_table_is_told_once_an_interval_with_the_sums_of_it() -> None:
    tally = Tally(MINUTE)
    tally.add({"a": Written(2, 5, 6, 40), "b": Written(0, 0, 0)}, NOW)
    tally.add({"a": Written(1, 9, 9, 90)}, NOW + MINUTE / 2)
    assert tally.due(NOW + MINUTE / 2) == {}
    assert tally.due(NOW + MINUTE) == {"a": Written(3, 5, 9, 90)}
    tally.told("a", NOW + MINUTE)
    tally.add({"a": Written(1, 10, 10)}, NOW + MINUTE)
    assert tally.due(NOW + 1.5 * MINUTE) == {}
    assert tally.due(NOW + 2 * MINUTE) == {"a": Written(1, 10, 10)}


def test_what_is_left_is_told_at_the_end_and_what_could_not_be_told_is_kept() -> None:
    tally = Tally(MINUTE)
    tally.add({"a": Written(1, 1, 1, 3)}, NOW)
    assert tally.due(NOW, last=True) == tally.due(NOW, last=True) == {"a": Written(1, 1, 1, 3)}
