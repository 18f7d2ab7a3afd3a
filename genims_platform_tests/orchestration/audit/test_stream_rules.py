"""When a streaming run is requested and when one is ended."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from genims_platform.orchestration.audit.stream_rules import (
    LONGEST_REST,
    PATIENCE,
    SILENCE,
    Decision,
    LiveRun,
    Watch,
    decide,
    rest_until,
)

NOW = datetime(2026, 11, 22, 12)
LENGTH, LEAD = timedelta(seconds=3300), timedelta(seconds=60)
SECOND = timedelta(seconds=1)
SILENT = Watch(generation=4, position="p", waiting_since=NOW - SILENCE - SECOND)


def run(name: str, age: timedelta | None, *, canceling: bool = False) -> LiveRun:
    return LiveRun(name, None if age is None else NOW - age, canceling)


def decided(*live: LiveRun, watch: Watch | None = None, now: datetime = NOW, hot_standby: bool = False) -> Decision:
    return decide(live, watch or Watch(generation=4), now, length=LENGTH, lead=LEAD, hot_standby=hot_standby)


def test_without_a_run_one_is_requested_under_the_next_number() -> None:
    decision = decided()
    assert (decision.request, decision.watch.generation, decision.cancel) == (True, 5, ())


@pytest.mark.parametrize("age", [None, timedelta(0), LENGTH - LEAD - SECOND])
def test_a_run_that_waits_or_works_is_enough(age: timedelta | None) -> None:
    assert not decided(run("a", age)).request


def test_a_run_that_ends_soon_gets_a_successor_and_only_one() -> None:
    assert decided(run("a", LENGTH - LEAD)).request
    assert not decided(run("a", LENGTH - LEAD), run("b", None)).request
    assert not decided(run("a", 2 * LENGTH), run("b", SECOND)).request


def test_a_hot_standby_is_a_second_run_at_any_age() -> None:
    assert decided(run("a", SECOND), hot_standby=True).request
    assert not decided(run("a", SECOND), run("b", None), hot_standby=True).request


def test_silence_is_events_that_wait_while_nothing_moves() -> None:
    watch = Watch().observe("p", waiting=True, now=NOW)
    assert not watch.silent(NOW + SILENCE)
    later = watch.observe("p", waiting=True, now=NOW + SILENCE + SECOND)
    assert later.silent(NOW + SILENCE + SECOND)
    assert not later.observe("q", waiting=True, now=NOW + 2 * SILENCE).silent(NOW + 2 * SILENCE)
    assert not later.observe("p", waiting=False, now=NOW + 2 * SILENCE).silent(NOW + 2 * SILENCE)


def test_a_silent_run_is_replaced_and_ended_once_its_successor_works() -> None:
    zombie = run("zombie", timedelta(minutes=5))
    first = decided(zombie, watch=SILENT)
    assert (first.request, first.cancel) == (True, ())
    waiting = decided(zombie, run("b", None), watch=first.watch)
    assert (waiting.request, waiting.cancel) == (False, ())
    started = decided(zombie, run("b", SECOND), watch=waiting.watch)
    assert (started.request, started.cancel) == (False, ("zombie",))
    assert decided(replace(zombie, canceling=True), run("b", SECOND), watch=started.watch).cancel == ()


def test_the_silent_run_is_ended_although_its_successor_has_ended_the_silence() -> None:
    zombie = run("zombie", timedelta(minutes=5))
    asked = decided(zombie, watch=SILENT).watch
    moved = asked.observe("q", waiting=False, now=NOW)
    assert decided(zombie, run("b", SECOND), watch=moved).cancel == ("zombie",)


def test_two_silent_runs_make_room_for_a_third() -> None:
    oldest, other = run("oldest", timedelta(hours=1)), run("other", timedelta(minutes=2))
    decision = decided(oldest, other, watch=SILENT)
    assert (decision.request, decision.cancel) == (True, ("oldest",))


def test_a_silence_that_new_runs_do_not_end_is_not_answered_by_more_of_them() -> None:
    asked = decided(run("a", timedelta(minutes=5)), watch=SILENT).watch
    after = replace(asked, suspects=())
    b = LiveRun("b", NOW)
    assert not decided(b, watch=after, now=NOW + PATIENCE - SECOND).request
    assert decided(b, watch=after, now=NOW + PATIENCE).request


def test_a_silent_run_that_has_just_started_is_given_time() -> None:
    assert not decided(run("a", timedelta(seconds=5)), watch=SILENT).request


@pytest.mark.parametrize("cursor", [None, "", "17", "{", '{"generation": 3}'])
def test_a_cursor_of_another_make_starts_afresh(cursor: str | None) -> None:
    assert Watch.from_cursor(cursor) == Watch()


def test_a_cursor_keeps_everything() -> None:
    watch = Watch(7, '{"crm": [1, 2, 0]}', NOW, ("a", "b"), NOW - SECOND)
    assert Watch.from_cursor(watch.to_cursor()) == watch


def test_runs_that_fail_at_once_follow_each_other_ever_more_slowly() -> None:
    rests = [rest_until(failures, NOW) - NOW for failures in (1, 2, 3, 20)]
    assert rests[0] == timedelta(0)
    assert rests == sorted(rests)
    assert rests[-1] == LONGEST_REST
    held = decide([], Watch(), NOW, length=LENGTH, lead=LEAD, not_before=NOW + SECOND)
    assert not held.request
    assert decide([], Watch(), NOW + SECOND, length=LENGTH, lead=LEAD, not_before=NOW + SECOND).request
