"""When a streaming run of the relay is started, and when one that claims to live is ended; pure functions of facts."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Self

SILENCE = timedelta(seconds=15)
"""How long nothing may be delivered, though a queue is not empty, before a run counts as silent."""

WARM_UP = timedelta(seconds=30)
"""How long a run that has just started is not blamed for silence: it loads, connects, waits for locks."""

PATIENCE = timedelta(minutes=5)
"""How long to wait for a run that replaced a silent one. A stopped server or source is not mended by more runs."""

SHORT_LIFE = timedelta(seconds=60)
LONGEST_REST = timedelta(minutes=5)
"""Runs that fail at once would otherwise follow each other every few seconds, each of them loading a process."""

MOST_RUNS = 2


@dataclass(frozen=True)
class LiveRun:
    """A streaming run that has not ended: `started_at` (naive UTC) is None while it waits or loads."""

    run_id: str
    started_at: datetime | None
    canceling: bool = False


@dataclass(frozen=True)
class Watch:
    """What the sensor remembers from tick to tick; instants are naive UTC.

    `position` is how far the sources were delivered, `waiting_since` when events were first seen to wait at that
    position, `suspects` the silent runs that a successor was requested for, at `replaced_at`.
    """

    generation: int = 0
    position: str = ""
    waiting_since: datetime | None = None
    suspects: tuple[str, ...] = ()
    replaced_at: datetime | None = None

    @classmethod
    def from_cursor(cls, cursor: str | None) -> Self:
        """What an earlier tick stored; a fresh one if it is missing or was stored by another version."""
        try:
            stored = json.loads(cursor or "{}")
            return cls(
                int(stored["generation"]),
                str(stored["position"]),
                _instant(stored["waiting_since"]),
                tuple(map(str, stored["suspects"])),
                _instant(stored["replaced_at"]),
            )
        except (ValueError, KeyError, TypeError):
            return cls()

    def to_cursor(self) -> str:
        """Text for the sensor's cursor."""
        return json.dumps(asdict(self), default=str)

    def at(self, generation: int) -> Self:
        """The same with the number of the run that was requested last."""
        return replace(self, generation=generation)

    def observe(self, position: str, waiting: bool, now: datetime) -> Self:
        """After a look at the trail: how far it has come, and whether events wait."""
        moved = position != self.position
        since = None if not waiting else now if moved or self.waiting_since is None else self.waiting_since
        return replace(self, position=position, waiting_since=since)

    def silent(self, now: datetime) -> bool:
        """Whether events have waited for too long while nothing was delivered."""
        return self.waiting_since is not None and now - self.waiting_since > SILENCE


@dataclass(frozen=True)
class Decision:
    """What a tick does: request a run or not, end some; `reason` is for people, `watch` for the next tick."""

    watch: Watch
    reason: str
    request: bool = False
    cancel: tuple[str, ...] = ()


def rest_until(failures: int, last_ended: datetime) -> datetime:
    """When the next run may follow so many runs in a row that failed within SHORT_LIFE; the first is forgiven."""
    rest = timedelta(0) if failures < 2 else timedelta(seconds=5 * 2 ** min(failures, 10))
    return last_ended + min(rest, LONGEST_REST)


def decide(
    live: Sequence[LiveRun],
    watch: Watch,
    now: datetime,
    *,
    length: timedelta,
    lead: timedelta,
    hot_standby: bool = False,
    not_before: datetime | None = None,
) -> Decision:
    """What to do about these runs, oldest first, given what was seen of the trail.

    `not_before` is when a run may follow those that failed, if none is alive.
    """
    fresh = [run for run in live if run.started_at is None or now - run.started_at < WARM_UP]
    stale = [run for run in live if run not in fresh]
    guilty, watch = _replaced(live, watch)
    if watch.silent(now) and stale:
        return _about_silence(fresh, stale, guilty, watch, now)
    if not live and not_before is not None and now < not_before:
        return Decision(watch, f"runs fail at once; the next one follows at {not_before:%H:%M:%S} UTC", cancel=guilty)
    if not live:
        return _request(watch, "no streaming run is alive", guilty)
    oldest = live[0]
    if len(live) < MOST_RUNS and hot_standby:
        return _request(watch, "a second relay always waits (AUDIT_HOT_STANDBY)", guilty)
    if len(live) < MOST_RUNS and oldest.started_at is not None and now - oldest.started_at >= length - lead:
        return _request(watch, f"run {oldest.run_id} ends soon, its successor warms up", guilty)
    return Decision(watch, f"alive: {', '.join(run.run_id for run in live)}", cancel=guilty)


def _replaced(live: Sequence[LiveRun], watch: Watch) -> tuple[tuple[str, ...], Watch]:
    """The silent runs to end, because another one has started since; they are no longer remembered then."""
    suspects = [run for run in live if run.run_id in watch.suspects]
    started = any(run.started_at is not None and run.run_id not in watch.suspects for run in live)
    if suspects and not started:
        return (), watch
    return tuple(run.run_id for run in suspects if not run.canceling), replace(watch, suspects=())


def _about_silence(
    fresh: Sequence[LiveRun], stale: Sequence[LiveRun], guilty: tuple[str, ...], watch: Watch, now: datetime
) -> Decision:
    if fresh:
        return Decision(watch, f"nothing is delivered; run {fresh[-1].run_id} has yet to begin", cancel=guilty)
    if watch.replaced_at is not None and now - watch.replaced_at < PATIENCE:
        reason = "nothing is delivered, although silent runs were replaced; see `genims audit status`"
        return Decision(watch, reason, cancel=guilty)
    suspects = tuple(run.run_id for run in stale)
    # Two that hold both places would keep a third one waiting for ever.
    surplus = tuple(run.run_id for run in stale[: len(stale) - MOST_RUNS + 1] if not run.canceling)
    watch = replace(watch, suspects=suspects, replaced_at=now)
    return _request(watch, f"events wait and nothing is delivered by {', '.join(suspects)}", surplus)


def _request(watch: Watch, reason: str, cancel: tuple[str, ...]) -> Decision:
    return Decision(replace(watch, generation=watch.generation + 1), reason, request=True, cancel=cancel)


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
