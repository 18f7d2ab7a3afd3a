"""What a source says of itself while the writer has it start anew."""

import threading
from collections.abc import Generator
from contextlib import closing

import pytest

from genims_platform.audit.encryption.keystore import key_store
from genims_platform.audit.relay.feed import Feed, Timing
from genims_platform.audit.relay.preparation import mapper_of
from genims_platform.audit.relay.source_reader import SourceReader
from genims_platform.audit.relay.worker import Workers
from genims_platform.local.process import wait_until
from genims_platform_tests.audit.relay.test_service import ACCOUNT
from genims_platform_tests.audit.relay.trail import PATIENCE, Trail


class Gate:
    """Holds the feed after it made a tick, look by look."""

    def __init__(self) -> None:
        self._may_pass = threading.Semaphore(0)
        self._reached = threading.Semaphore(0)

    def __call__(self, step: str) -> None:
        if step == "after_tick":
            self._reached.release()
            assert self._may_pass.acquire(timeout=PATIENCE)

    def wait(self) -> None:
        """Until the feed stands at it."""
        assert self._reached.acquire(timeout=PATIENCE)

    def open(self) -> None:
        """For this look; the feed stops at the next one."""
        self._may_pass.release()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def feed(trail: Trail, gate: Gate) -> Generator[Feed]:
    own = trail.settings
    with closing(key_store(own)) as keys, closing(Workers(own, 0)) as workers:
        made = Feed(
            SourceReader("crm", own.audit_relay("crm"), gate),
            mapper_of(own, "crm", keys),
            workers,
            Timing(0.01, 0.1, 3600, 1000, 7, 1000),
            ready=lambda: None,
            unclassified=lambda _: None,
            may_rotate=lambda _: False,
        )
        made.start()
        yield made
        made.stop()
        gate.open()
        made.join()


def test_a_look_from_before_a_new_start_is_not_the_end(trail: Trail, feed: Feed, gate: Gate) -> None:
    """It found nothing after a part that, as the new start tells, was not written."""
    with closing(trail.ledger()) as ledger:
        cursor = ledger.cursors()["crm"]
    trail.sources["crm"].execute(ACCOUNT, {"id": "A"})
    feed.restart(cursor, None)
    gate.wait()
    gate.open()
    wait_until(lambda: feed.ready_events() > 0, PATIENCE, "nothing is offered")
    assert feed.take(None)
    gate.wait()

    feed.restart(cursor, None)
    gate.open()
    gate.wait()

    assert not feed.state().idle
    gate.open()
    wait_until(lambda: feed.ready_events() > 0, PATIENCE, "nothing is offered")
