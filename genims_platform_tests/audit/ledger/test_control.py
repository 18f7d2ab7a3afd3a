"""Facts of commands and jobs: recorded once, whatever happens to the connection."""

import hashlib
import json
from collections.abc import Generator
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from genims_platform.audit.accounts import ensure_accounts
from genims_platform.audit.database import audit_database
from genims_platform.audit.ledger.append import Ledger
from genims_platform.audit.ledger.control import (
    CONTROL,
    LOCK,
    Appender,
    Fact,
    canonical_json,
    ensure_genesis,
    instance,
)
from genims_platform.audit.ledger.errors import AuditUnavailableError, HaltError, UnstorableError
from genims_platform.audit.policy import audit_policy
from genims_platform.local.servers import Engine
from genims_platform.mysql.append_only import LEDGER
from genims_platform.mysql.connection import Database
from genims_platform.mysql.deploy import deploy
from genims_platform.settings import Settings
from genims_platform_tests.audit.conftest import drop, with_accounts
from genims_platform_tests.audit.ledger.chain import NOON, Chain, entry, needed
from genims_platform_tests.audit.ledger.test_append import check_sequence, lose_answer


@pytest.fixture
def appender(chain: Chain, ledger_settings: Settings) -> Generator[Appender]:
    """The writer, in a database that has begun."""
    assert chain.ledger.head()
    with closing(Ledger(ledger_settings.mysql_audit_as("writer"))) as ledger:
        yield Appender(ledger)


@pytest.fixture
def empty(settings: Settings, engine: Engine) -> Generator[Settings]:
    """A database without a batch."""
    own = with_accounts(settings, engine, f"{settings.mysql_audit_db}_empty")
    database = audit_database(own)
    deploy(database, "audit", today=NOON.date())
    ensure_accounts(database, own)
    yield own
    drop(database, own)


def test_facts_are_numbered_in_their_order(appender: Appender) -> None:
    head = appender.ledger.head()
    assert head is not None
    details = (("backup_recovery", needed("backup_recovery")), ("backup_recovery", needed("backup_recovery", 2)))
    facts = [Fact("BACKUP", "ann", details, run_id="r1"), Fact("SYNC", payload={"n": Decimal("1.50")})]
    numbers = appender.record(facts)
    assert numbers == [head.last_sequence + 1, head.last_sequence + 2]
    first, second = stored_facts(appender, numbers)
    assert (first["operation_type"], first["user_id"], first["payload"]) == ("BACKUP", "ann", '{"run_id":"r1"}')
    assert (second["event_kind"], second["payload"]) == ("CONTROL", '{"n":"1.50"}')
    assert second["event_id"] == first["event_id"] + 1
    assert first["event_id"] % 1000 == 0
    rows = appender.ledger.query("SELECT item_no FROM backup_recovery WHERE audit_sequence = %s", (numbers[0],))
    assert rows == [(0,), (1,)]


def test_the_digest_is_that_of_the_canonical_fact(appender: Appender) -> None:
    fact = Fact("HOLD", "ann", (("legal_hold_tracking", needed("legal_hold_tracking")),), {"b": 1, "a": "ü"})
    (row,) = stored_facts(appender, appender.record([fact]))
    text = canonical_json(
        {
            "about": {},
            "details": fact.details,
            "kind": "CONTROL",
            "operation": "HOLD",
            "operator": "ann",
            "payload": fact.payload,
            "run_id": None,
        }
    )
    assert bytes(row["event_digest"]) == hashlib.sha256(text.encode()).digest()
    assert '"payload":{"a":"\\u00fc","b":1}' in text


def test_more_facts_than_a_batch_holds_share_a_transaction(appender: Appender) -> None:
    head = appender.ledger.head()
    assert head is not None
    numbers = appender.record([Fact("SYNC")] * 1001)
    assert numbers == list(range(head.last_sequence + 1, head.last_sequence + 1002))
    after = appender.ledger.head()
    assert after is not None
    assert after.batch_no == head.batch_no + 2


def test_no_facts_are_no_batch(appender: Appender) -> None:
    head = appender.ledger.head()
    assert appender.record([]) == []
    assert appender.ledger.head() == head


def test_a_lost_race_is_run_again(
    owner: Database, appender: Appender, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    races = iter([True, True, False])
    append = appender.ledger.append

    def raced(batches: Any) -> None:
        if next(races):
            chain.append("STREAM", [entry(1)])
        append(batches)

    monkeypatch.setattr(appender.ledger, "append", raced)
    (number,) = appender.record([Fact("SYNC")])
    head = chain.ledger.head()
    assert head is not None
    assert head.last_sequence == number
    check_sequence(owner)


@pytest.mark.parametrize(("step", "attempts"), [("after_commit", 1), ("before_commit", 2)])
def test_a_fact_whose_outcome_is_unknown_is_recorded_once(
    owner: Database, appender: Appender, monkeypatch: pytest.MonkeyPatch, step: str, attempts: int
) -> None:
    append = appender.ledger.append
    seen: list[object] = []

    def interrupted(batches: Any) -> None:
        seen.append(batches)
        append(batches, at=lambda passed: lose_answer() if passed == step and len(seen) == 1 else None)

    monkeypatch.setattr(appender.ledger, "append", interrupted)
    (number,) = appender.record([Fact("SYNC")])
    assert len(seen) == attempts
    head = appender.ledger.head()
    assert head is not None
    assert head.last_sequence == number
    check_sequence(owner)


def test_an_unreachable_database_is_not_waited_for_for_ever(ledger_settings: Settings) -> None:
    server = ledger_settings.model_copy(update={"mysql_audit_port": 1}).mysql_audit_as("writer")
    with closing(Ledger(server)) as ledger, pytest.raises(AuditUnavailableError, match="refused"):
        Appender(ledger, patience=0).record([Fact("SYNC")])


def test_a_fact_that_cannot_be_stored_is_refused(appender: Appender) -> None:
    head = appender.ledger.head()
    with pytest.raises(UnstorableError, match="operation_type"):
        appender.record([Fact("SYNC"), Fact("MORE_THAN_SIXTEEN_CHARACTERS")])
    assert appender.ledger.head() == head


def test_the_lock_of_appenders_is_given_back(appender: Appender, ledger: Ledger) -> None:
    appender.record([Fact("SYNC")])
    with ledger.lock(LOCK, 0) as held:
        assert held
        # Fairness, not safety: whoever does not get it goes on.
        with closing(Ledger(ledger.server)) as other, other.lock(LOCK, 0) as second:
            assert not second


def test_trails_on_one_server_do_not_wait_for_each_other(ledger: Ledger, empty: Settings) -> None:
    with closing(Ledger(empty.mysql_audit_as("writer"))) as other, ledger.lock(LOCK, 0) as first:
        assert first
        with other.lock(LOCK, 0) as second:
            assert second


def test_the_trail_begins_once(empty: Settings) -> None:
    with closing(Ledger(empty.mysql_audit_as("writer"))) as ledger:
        appender = Appender(ledger)
        with pytest.raises(HaltError, match="genims audit init"):
            appender.record([Fact("SYNC")])
        with pytest.raises(HaltError, match="genims audit init"):
            instance(ledger)
        first = ensure_genesis(appender, public_keys=["key"])
        second = ensure_genesis(appender, public_keys=["other"])
        assert (first.created, second.created, first.instance) == (True, False, second.instance)
        (row,) = stored_facts(appender, [1])
        payload = json.loads(row["payload"])
        assert (row["event_kind"], row["operation_type"]) == ("MARK", "GENESIS")
        assert payload["public_keys"] == ["key"]
        assert payload["policy_sha256"] == audit_policy().digest
        assert appender.record([Fact("SYNC")]) == [2]
        assert ledger.cursors().keys() == {CONTROL}


def test_canonical_json_knows_what_columns_hold() -> None:
    value = {"b": b"\x01", "a": datetime(2026, 1, 2, 3, 4, 5, 6), "d": Decimal("1.10")}
    assert canonical_json(value) == '{"a":"2026-01-02T03:04:05.000006","b":"01","d":"1.10"}'
    with pytest.raises(TypeError, match="set has no canonical text"):
        canonical_json({"a": set[int]()})


def stored_facts(appender: Appender, numbers: list[int]) -> list[dict[str, Any]]:
    """Ledger rows of these numbers."""
    names = ("event_id", "event_kind", "operation_type", "user_id", "payload", "event_digest")
    rows = appender.ledger.query(
        f"SELECT {', '.join(names)} FROM {LEDGER} WHERE audit_sequence BETWEEN %s AND %s ORDER BY audit_sequence",
        (numbers[0], numbers[-1]),
    )
    return [dict(zip(names, row, strict=True)) for row in rows]
