"""Opening a source: the batch from which its events are delivered, and the record of a database that is another one."""

import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

import psycopg2
from psycopg2 import errors, extensions

from genims_platform.audit.ledger.append import Ledger
from genims_platform.audit.ledger.batch import Batch, Head, Span
from genims_platform.audit.ledger.control import CONTROL, Appender, Fact
from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.ledger.errors import HaltError
from genims_platform.mysql.append_only import LEDGER, SPINE
from genims_platform.settings import PostgresServer
from genims_platform.sources.connection import connect

_TICKS_AT_ONCE = 5000


class NotCapturedError(RuntimeError):
    """Capture is not installed in a source; the message says what to run."""


class AlreadyOpenError(RuntimeError):
    """A source is delivered without a break, so there is nothing to open."""


@dataclass(frozen=True)
class Opened:
    """A source that is delivered from now on, after tick `tick`; `previous_uid` names the installation before."""

    source: str
    incarnation: int
    tick: int
    install_uid: str
    previous_uid: str | None = None


def open_source(
    appender: Appender,
    server: PostgresServer,
    source: str,
    *,
    operator: str | None = None,
    reason: str | None = None,
    approval: str | None = None,
) -> Opened:
    """Begin the delivery of a source, or begin it anew after its database was restored or recreated.

    Args:
        appender: the audit database, which has a genesis.
        server: the source as the account of the relay.
        source: its name.
        operator: who opens it.
        reason: why; kept with the record.
        approval: who allowed it; kept with the record.

    Raises:
        NotCapturedError: capture is not installed there.
        AlreadyOpenError: the newest incarnation can be delivered on.
        SourceUnavailableError: the source cannot be reached.
        AuditUnavailableError: the audit database was not reachable for too long.
    """
    opened: list[Opened] = []

    def plan(head: Head | None, now: datetime) -> Sequence[Batch]:
        if head is None:
            raise HaltError(f"{appender.ledger.server.address} holds no batch yet; run `genims audit init`")
        span, facts, record = _opening(appender.ledger, server, source)
        opened[:] = [record]
        mark = _opening_fact(facts, record, now, operator, reason, approval)
        first = appender.batch(head, now, "OPEN", span)
        return [first, *appender.control_batches(first.head, now, [mark])]

    appender.commit(plan)
    return opened[0]


def _opening(ledger: Ledger, server: PostgresServer, source: str) -> tuple[Span, dict[str, object], Opened]:
    """Where the next incarnation begins, both identities, and the record of it."""
    before = ledger.cursor(source)
    with closing(connect(server, autocommit=True)) as connection, connection.cursor() as cursor:
        try:
            cursor.execute("SELECT value FROM audit.state WHERE key = 'install_uid'")
            (install_uid,) = cursor.fetchall()[0]
            cursor.execute("SELECT tick_id, token FROM audit.tick ORDER BY tick_id LIMIT 1")
            tick, token = cursor.fetchall()[0]
            if before is not None:
                delivered = _known_ticks(cursor, [(before.span.tick_to, before.span.tick_token)])
                if delivered and installation_of(ledger, source) in (None, install_uid):
                    raise AlreadyOpenError(
                        f"{source}: incarnation {before.span.incarnation} can be delivered on after tick "
                        f"{before.span.tick_to}; there is nothing to open"
                    )
                tick, token = _newest_common(ledger, cursor, source, before.span.incarnation) or (tick, token)
        except (errors.UndefinedTable, errors.InvalidSchemaName, IndexError):
            raise NotCapturedError(
                f"{source}: capture is not installed in {server.address}; run `genims audit install --source {source}`"
            ) from None
        except errors.InsufficientPrivilege as error:
            raise NotCapturedError(
                f"{source}: {server.user} may not read the queue of {server.address} ({_first_line(error)}); run "
                f"`genims audit install --source {source}`"
            ) from None
    incarnation = before.span.incarnation + 1 if before else 1
    new_token = uuid.UUID(str(token))
    identities: dict[str, object] = {
        "new": {"incarnation": incarnation, "install_uid": install_uid, "tick": tick, "token": str(new_token)}
    }
    previous_uid = None
    if before is not None:
        previous_uid = installation_of(ledger, source)
        identities["old"] = {
            "incarnation": before.span.incarnation,
            "install_uid": previous_uid,
            "tick": before.span.tick_to,
            "token": str(uuid.UUID(bytes=before.span.tick_token)),
        }
    span = Span(source, incarnation, 0, tick, new_token.bytes)
    return span, identities, Opened(source, incarnation, tick, install_uid, previous_uid)


def _opening_fact(
    identities: Mapping[str, object],
    opened: Opened,
    now: datetime,
    operator: str | None,
    reason: str | None,
    approval: str | None,
) -> Fact:
    security: Columns = {
        "event_timestamp": now,
        "event_type": "INCARNATION",
        "event_severity": "HIGH",
        "rule_id": "STREAM",
        "user_id": operator,
        "resource_type": "source",
        "resource_name": opened.source,
        "description": f"Source {opened.source} is delivered anew as incarnation {opened.incarnation}: its database "
        "was restored or recreated",
    }
    anew = opened.incarnation > 1
    return Fact(
        "INCARNATION" if anew else "OPENED",
        operator,
        (("security_events", security),) if anew else (),
        {**identities, "reason": reason, "approval": approval},
        about={"schema_name": "audit", "table_name": "state", "primary_key_value": opened.source},
        kind="MARK",
    )


def installation_of(ledger: Ledger, source: str) -> str | None:
    """Identity of the installation that the newest incarnation of a source was opened with."""
    rows = ledger.query(
        f"SELECT payload FROM {LEDGER} WHERE table_name = 'state' AND source_db = %s AND primary_key_value = %s "  # noqa: S608
        "AND operation_type IN ('OPENED', 'INCARNATION') ORDER BY audit_timestamp DESC, audit_sequence DESC LIMIT 1",
        (CONTROL, source),
    )
    return str(json.loads(rows[0][0])["new"]["install_uid"]) if rows else None


def _newest_common(ledger: Ledger, cursor: extensions.cursor, source: str, incarnation: int) -> tuple[int, str] | None:
    """The newest tick that the source still has and up to which everything was delivered."""
    cursor.execute("SELECT min(tick_id), max(tick_id) FROM audit.tick")
    oldest, below = cursor.fetchall()[0]
    below += 1
    while True:
        delivered = [
            (tick, bytes(token))
            for tick, token in ledger.query(
                f"SELECT tick_to, tick_token FROM {SPINE} WHERE source_db = %s AND incarnation = %s "  # noqa: S608
                f"AND is_last_part = 1 AND tick_to >= %s AND tick_to < %s ORDER BY tick_from DESC "
                f"LIMIT {_TICKS_AT_ONCE}",
                (source, incarnation, oldest, below),
            )
        ]
        if not delivered:
            return None
        known = _known_ticks(cursor, delivered)
        if known:
            return max(known)
        below = delivered[-1][0]


def _known_ticks(cursor: extensions.cursor, ticks: Sequence[tuple[int, bytes]]) -> list[tuple[int, str]]:
    """Those of the ticks that the source has with the same token."""
    cursor.execute(
        "SELECT t.tick_id, t.token::text FROM unnest(%s::bigint[], %s::uuid[]) AS k (tick_id, token) "
        "JOIN audit.tick t ON t.tick_id = k.tick_id AND t.token = k.token",
        ([tick for tick, _ in ticks], [str(uuid.UUID(bytes=token)) for _, token in ticks]),
    )
    return cursor.fetchall()


def _first_line(error: psycopg2.Error) -> str:
    return str(error).strip().partition("\n")[0]
