"""Where the delivery of a source begins, and begins anew after a restore."""

import json
from collections.abc import Generator
from contextlib import closing
from typing import Any

import pytest

from genims_platform.audit.capture.queue import make_tick
from genims_platform.audit.ledger.append import Ledger
from genims_platform.audit.ledger.batch import Span, build_batch
from genims_platform.audit.ledger.control import Appender
from genims_platform.audit.ledger.opening import AlreadyOpenError, NotCapturedError, Opened, open_source
from genims_platform.local.servers import LocalServers
from genims_platform.mysql.append_only import LEDGER
from genims_platform.settings import Settings
from genims_platform.sources.connection import SourceUnavailableError, connect
from genims_platform_tests.audit.capture.captured import Captured, captured_source, own_source
from genims_platform_tests.audit.ledger.chain import Chain


@pytest.fixture
def appender(chain: Chain, ledger_settings: Settings) -> Generator[Appender]:
    assert chain.ledger.head()
    with closing(Ledger(ledger_settings.mysql_audit_as("writer"))) as ledger:
        yield Appender(ledger)


@pytest.fixture(scope="module")
def crm(settings: Settings, servers: LocalServers) -> Captured:
    """A captured source with a password for the relay."""
    own = settings.model_copy(
        update={"audit_pg_relay_user": settings.pg_user, "audit_pg_relay_password": settings.pg_password}
    )
    return captured_source(own, "crm", "opening", servers.postgres_superuser_dsn)


def test_a_source_is_opened_after_its_first_tick(appender: Appender, crm: Captured, chain: Chain) -> None:
    opened = opening(appender, crm, chain.source + "a")
    assert opened == Opened(opened.source, 1, 1, identity(crm))
    found = appender.ledger.cursor(opened.source)
    assert found is not None
    assert (found.span.tick_from, found.span.tick_to, found.span.tick_token) == (0, 1, token(crm, 1))
    mark = newest_mark(appender)
    assert (mark["operation_type"], mark["primary_key_value"]) == ("OPENED", opened.source)
    assert json.loads(mark["payload"])["new"]["install_uid"] == identity(crm)


def test_what_can_be_delivered_on_is_not_opened(appender: Appender, crm: Captured, chain: Chain) -> None:
    opening(appender, crm, chain.source + "b")
    head = appender.ledger.head()
    with pytest.raises(AlreadyOpenError, match="incarnation 1 can be delivered on after tick 1"):
        opening(appender, crm, chain.source + "b")
    assert appender.ledger.head() == head


def test_a_restored_source_goes_on_from_the_newest_tick_both_know(
    appender: Appender, crm: Captured, chain: Chain
) -> None:
    source = chain.source + "c"
    opening(appender, crm, source)
    both = tick(crm)
    deliver(appender, source, both, token(crm, both))
    # After this tick the source was set back, and gave the number to another one.
    lost = tick(crm)
    deliver(appender, source, lost, b"\x01" * 16)
    opened = opening(appender, crm, source, reason="restored", approval="CHG-1")
    assert opened == Opened(source, 2, both, identity(crm), identity(crm))
    found = appender.ledger.cursor(source)
    assert found is not None
    assert (found.span.incarnation, found.span.tick_from, found.span.tick_to) == (2, 0, both)
    mark = newest_mark(appender)
    payload = json.loads(mark["payload"])
    assert (mark["operation_type"], payload["reason"], payload["approval"]) == ("INCARNATION", "restored", "CHG-1")
    assert (payload["old"]["tick"], payload["new"]["tick"]) == (lost, both)
    rows = appender.ledger.query(
        "SELECT event_severity, resource_name FROM security_events WHERE audit_sequence = %s", (mark["audit_sequence"],)
    )
    assert rows == [("HIGH", source)]


def test_a_source_in_the_middle_of_a_range_can_be_delivered_on(appender: Appender, crm: Captured, chain: Chain) -> None:
    source = chain.source + "d"
    opening(appender, crm, source)
    deliver(appender, source, tick(crm), b"\x02" * 16)
    half = tick(crm)
    deliver(appender, source, half, token(crm, half), is_last_part=False)
    with pytest.raises(AlreadyOpenError):
        opening(appender, crm, source)


def test_a_recreated_source_begins_at_its_first_tick(
    appender: Appender, settings: Settings, servers: LocalServers, crm: Captured, chain: Chain
) -> None:
    source = chain.source + "e"
    opening(appender, crm, source)
    other = captured_source(crm.settings, "crm", "again", servers.postgres_superuser_dsn)
    opened = opening(appender, other, source)
    assert opened == Opened(source, 2, 1, identity(other), identity(crm))
    assert identity(other) != identity(crm)
    assert settings.pg_crm_db != other.database


def test_a_source_without_capture_says_what_to_run(appender: Appender, crm: Captured, servers: LocalServers) -> None:
    bare = own_source(crm.settings, "mes", "uncaptured", servers.postgres_superuser_dsn)
    with pytest.raises(NotCapturedError, match="genims audit install --source mes"):
        open_source(appender, bare.settings.audit_relay("mes"), "mes")


def test_an_unreachable_source_is_named(appender: Appender, crm: Captured) -> None:
    server = crm.settings.model_copy(update={"pg_port": 1}).audit_relay("crm")
    with pytest.raises(SourceUnavailableError):
        open_source(appender, server, "crm")


def opening(appender: Appender, captured: Captured, source: str, **how: str) -> Opened:
    """Open a source under a name of this test's own."""
    return open_source(appender, captured.settings.audit_relay(captured.source), source, **how)


def tick(captured: Captured) -> int:
    """A new tick of the source."""
    captured.execute("SELECT nextval('audit.queue_event_id_seq')")
    with closing(connect(captured.settings.audit_relay(captured.source), autocommit=True)) as connection:
        number, made = make_tick(connection)
    assert made
    return number


def token(captured: Captured, number: int) -> bytes:
    """The token of a tick."""
    found: Any = captured.value("SELECT token::text FROM audit.tick WHERE tick_id = %(n)s", {"n": number})
    return bytes.fromhex(found.replace("-", ""))


def identity(captured: Captured) -> str:
    """The installation of capture."""
    return str(captured.value("SELECT value FROM audit.state WHERE key = 'install_uid'"))


def deliver(appender: Appender, source: str, upto: int, known: bytes, *, is_last_part: bool = True) -> None:
    """An empty range up to a tick."""
    ledger = appender.ledger
    head, found = ledger.head(), ledger.cursor(source)
    assert found is not None
    span = Span(source, 1, found.span.tick_to, upto, known, is_last_part=is_last_part)
    batch = build_batch(
        head,
        "STREAM",
        span,
        [],
        recorded_at=ledger.recorded_at(head),
        writer_id="test",
        batch_uid=known[:8] + upto.to_bytes(4, "big") + source.encode()[-4:],
        routing_version=1,
    )
    ledger.append([batch])


def newest_mark(appender: Appender) -> dict[str, Any]:
    """The newest row of the ledger."""
    names = ("audit_sequence", "operation_type", "primary_key_value", "payload")
    (row,) = appender.ledger.query(f"SELECT {', '.join(names)} FROM {LEDGER} ORDER BY audit_sequence DESC LIMIT 1")
    return dict(zip(names, row, strict=True))
