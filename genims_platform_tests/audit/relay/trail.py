"""A whole audit trail for one test: sources with capture, keys of persons, an audit database with its genesis."""

import base64
import secrets
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from genims_platform.audit.accounts import ensure_accounts
from genims_platform.audit.database import audit_database
from genims_platform.audit.encryption.keystore import ensure_key_store
from genims_platform.audit.ledger.append import Ledger, open_ledger
from genims_platform.audit.ledger.control import Appender, ensure_genesis
from genims_platform.audit.ledger.opening import open_source
from genims_platform.audit.relay.figures import RelayResult, Report
from genims_platform.audit.relay.service import Relay
from genims_platform.local.process import wait_until
from genims_platform.local.servers import Engine, LocalServers
from genims_platform.mysql.connection import Database
from genims_platform.mysql.deploy import deploy
from genims_platform.settings import Settings
from genims_platform_tests.audit.capture.captured import Captured, captured_source
from genims_platform_tests.audit.conftest import drop, with_accounts

PATIENCE = 120


@dataclass(frozen=True)
class Trail:
    """Its settings, its sources and the audit database as its administrator."""

    settings: Settings
    sources: Mapping[str, Captured]
    database: Database

    def ledger(self) -> Ledger:
        return open_ledger(self.settings, "relay")

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with closing(self.ledger()) as ledger:
            return ledger.query(statement, parameters)

    def deliver(self, **options: Any) -> RelayResult:
        """Deliver what waits, in this process."""
        relay = Relay(self.settings, sources=tuple(self.sources), **options)
        return relay.run(threading.Event(), once=True, seconds=PATIENCE)

    def ledger_events(self, source: str) -> list[tuple[int, str]]:
        """Event numbers and digests of a source in the order of the ledger."""
        rows = self.query(
            "SELECT event_id, HEX(event_digest) FROM system_audit_log WHERE source_db = %s ORDER BY audit_sequence",
            (source,),
        )
        return [(number, digest) for number, digest in rows]

    def queued(self, source: str) -> dict[int, int]:
        """Event number → transaction of everything that is committed in the queue, by a plain SELECT."""
        return {row["event_id"]: int(row["xid"]) for row in self.sources[source].events()}

    def check_complete(self) -> None:
        """Everything in the queues is in the ledger once, transactions whole, sequence without a gap."""
        for source in self.sources:
            queued = self.queued(source)
            delivered = [number for number, _ in self.ledger_events(source)]
            assert sorted(delivered) == sorted(queued), source
            transactions = [queued[number] for number in delivered]
            changes = [xid for xid, before in zip(transactions, [None, *transactions], strict=False) if xid != before]
            assert len(changes) == len(set(changes)), f"a transaction of {source} is split"
        sequence = [number for (number,) in self.query("SELECT audit_sequence FROM system_audit_log ORDER BY 1")]
        assert sequence == list(range(1, len(sequence) + 1))


@contextmanager
def made_trail(
    settings: Settings, engine: Engine, servers: LocalServers, folder: Path, sources: Sequence[str]
) -> Generator[Trail]:
    """A trail of its own; its databases go with those of the session, its accounts at the end."""
    name = secrets.token_hex(4)
    own = with_accounts(settings, engine, f"{settings.mysql_audit_db}_{name}")
    own = own.model_copy(
        update={
            # Roles belong to the server, which other sessions use too.
            "audit_pg_relay_user": f"g{name}_relay",
            "audit_pg_relay_password": SecretStr(secrets.token_hex(8)),
            "audit_keystore_uri": SecretStr(f"sqlite:///{folder / 'keys.db'}"),
            "audit_kek": SecretStr(base64.b64encode(secrets.token_bytes(32)).decode()),
            "audit_journal_dir": folder / "journal",
            "data_sync_retry_delay": 0.2,
        }
    )
    captured: dict[str, Captured] = {}
    for source in sources:
        captured[source] = captured_source(own, source, name, servers.postgres_superuser_dsn)
        own = own.model_copy(update={f"pg_{source}_db": captured[source].database})
    database = audit_database(own)
    deploy(database, "audit", today=datetime.now(UTC).date())
    ensure_accounts(database, own)
    ensure_key_store(own)[0].close()
    with closing(open_ledger(own, "writer")) as ledger:
        appender = Appender(ledger)
        ensure_genesis(appender)
        for source in sources:
            open_source(appender, own.audit_relay(source), source)
    yield Trail(own, {source: Captured(own, source, servers.postgres_superuser_dsn) for source in sources}, database)
    drop(database, own)
    with captured[sources[0]].superuser() as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP ROLE {own.audit_pg_relay_user}")


@contextmanager
def running(trail: Trail, **options: Any) -> Generator["Running"]:
    """A relay that works in a thread of this process meanwhile."""
    started = Running(trail, **options)
    try:
        yield started
    finally:
        started.end()


class Running:
    """A relay in a thread."""

    def __init__(self, trail: Trail, *, seconds: float | None = None, **options: Any) -> None:
        self.reports: list[Report] = []
        self.result: RelayResult | None = None
        self.error: BaseException | None = None
        self._trail = trail
        self._seconds = seconds
        self._stop = threading.Event()
        self._relay = Relay(trail.settings, sources=tuple(trail.sources), report=self.reports.append, **options)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def delivered(self) -> int:
        """Events that it said it delivered."""
        return self.reports[-1].total_events if self.reports else 0

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def wait_for(self, condition: Callable[[], bool], complaint: str) -> None:
        wait_until(lambda: self.error is not None or condition(), PATIENCE, complaint)
        assert self.error is None, self.error

    def wait_for_events(self, source: str, number: int) -> None:
        """Wait until so many events of a source are in the ledger."""
        self.wait_for(lambda: len(self._trail.ledger_events(source)) >= number, f"{source}: not {number} events")

    def end(self) -> float:
        """Stop it; seconds until it had ended."""
        started = time.monotonic()
        self._stop.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return time.monotonic() - started

    def _run(self) -> None:
        try:
            self.result = self._relay.run(self._stop, seconds=self._seconds)
        except BaseException as error:
            self.error = error
