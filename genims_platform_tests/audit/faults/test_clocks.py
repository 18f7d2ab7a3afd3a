"""Clocks that jump or cross a year: times never fall, batches stay whole, each year is in its partition."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta

import pytest

from genims_platform.local.process import wait_until
from genims_platform_tests.audit.faults.altered import again, go_by, made_clock
from genims_platform_tests.audit.faults.run import STALL_SECONDS, attacked
from genims_platform_tests.audit.faults.stage import Program, Stage

pytestmark = pytest.mark.fault

RATE = 6
"""Transactions a second of the applications."""

FALLING = """
    SELECT COUNT(*) FROM audit_sequence_manager b JOIN audit_sequence_manager a ON a.batch_no = b.prev_batch_no
    WHERE b.recorded_at < a.recorded_at
"""
ALMOST_AN_HOUR = 3_400
"""Seconds; a relay that is an hour and more apart from its database stops."""

YEARS = "SELECT YEAR(recorded_at), COUNT(*) FROM {} GROUP BY 1 ORDER BY 1"


class Clocks:
    """The clock of each machine."""

    def __init__(self, stage: Stage) -> None:
        self.relay, self.mysql, self.postgres = (
            made_clock(stage.root, name) for name in ("relay", "mysql", "postgres")
        )

    def set_ahead(self, seconds: float) -> None:
        for clock in (self.relay, self.mysql, self.postgres):
            clock.set_ahead(seconds)

    def set_to(self, instant: datetime) -> None:
        self.set_ahead((instant.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds())


@pytest.fixture(scope="module")
def clocks(shared_stage: Stage) -> Generator[Clocks]:
    """A new trail on servers with clocks of their own; these tests go on in it, the others do not."""
    stage = shared_stage
    made = Clocks(stage)
    stage.stop_programs()
    with pytest.MonkeyPatch.context() as patch:
        go_by(stage.mysql, made.mysql, patch)
        go_by(stage.postgres, made.postgres, patch)
        stage.new_trail()
        yield made
        stage.broken = True
        stage.stop_programs()
    again(stage.mysql)
    again(stage.postgres)


@pytest.fixture
def timed(trail: Stage, clocks: Clocks, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The stage; its relays go by their clock."""
    usual = trail.relay

    def relay(*options: str, **more: str) -> Program:
        return usual(*options, **clocks.relay.variables, **more)

    monkeypatch.setattr(trail, "relay", relay)
    return trail


def assert_sound(stage: Stage) -> None:
    """Nothing is wrong in the trail, and no batch is recorded before the one it follows."""
    stage.assert_clean()
    assert stage.audit(FALLING) == [(0,)]


def test_each_clock_jumps_alone(timed: Stage, clocks: Clocks) -> None:
    with attacked(timed, 22, rate=RATE) as run:
        for clock in (clocks.mysql, clocks.relay, clocks.postgres):
            for seconds in (ALMOST_AN_HOUR, -ALMOST_AN_HOUR, 0):
                clock.set_ahead(seconds)
                run.progress(12)
        assert run.relay.running
    assert run.outcomes().keys() == {"ok", "rolled back"}
    assert_sound(timed)


def test_the_last_second_of_a_year(timed: Stage, clocks: Clocks) -> None:
    year = datetime.now(UTC).year
    cross(timed, clocks, datetime(year, 12, 31, 23, 59, 57))
    assert [year for year, _ in timed.audit(YEARS.format("audit_sequence_manager"))] == [year, year + 1]
    # A partition holds what its year holds, and no batch lies in two.
    for table in ("system_audit_log", "data_change_audit"):
        for number, rows in timed.audit(YEARS.format(table)):
            assert timed.audit(f"SELECT COUNT(*) FROM {table} PARTITION (p{number})") == [(rows,)]
        astray = f"SELECT COUNT(*) FROM {table} r JOIN audit_sequence_manager b USING (batch_no) WHERE "
        assert timed.audit(astray + "YEAR(r.recorded_at) <> YEAR(b.recorded_at)") == [(0,)]


def cross(stage: Stage, clocks: Clocks, start: datetime) -> None:
    """Deliver from this instant on until a new day has begun by all clocks."""
    clocks.set_to(start)
    wait_until(lambda: is_past(stage, start), STALL_SECONDS, "the clock does not change")
    midnight = (start + timedelta(days=1)).replace(hour=0, minute=0, second=0)
    with attacked(stage, 23, rate=RATE) as run:
        wait_until(lambda: is_past(stage, midnight), STALL_SECONDS, "the day does not end")
        run.progress(3)
        assert run.relay.running
    assert run.outcomes().keys() == {"ok", "rolled back"}
    assert_sound(stage)


def is_past(stage: Stage, instant: datetime) -> bool:
    ((now,),) = stage.audit("SELECT UTC_TIMESTAMP(6)")
    return now >= instant
