"""Everything that somebody may do to the trail of `trail.py`, and what the verifier has to say about it.

Its batches and numbers: 0 genesis 1; 1 to 3 opened sources; 4 crm 2-4; 5 hcm 5-6; 6 checkpoint of batch 5, number 7;
7 and 8 erp, two parts, 8-9 and 10; 9 crm 11-12; 10 checkpoint of batch 9, number 13; 11 crm 14; 12 void 15-19; 13 its
record 20; 14 erp 21; 15 checkpoint of batch 14, number 22.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from genims_platform.audit.database import audit_database
from genims_platform.audit.ledger.entries import Entry
from genims_platform.audit.policy import audit_policy
from genims_platform.audit.routing.cipher import Kind, Side
from genims_platform.audit.routing.router import Router
from genims_platform.audit.sealer.checkpoint import Checkpoint
from genims_platform.audit.sealer.signing import SigningKey
from genims_platform.audit.verify.encoding import live_layouts
from genims_platform.audit.verify.findings import Code
from genims_platform.audit.verify.rows import table_numbers
from genims_platform.mysql.append_only import LEDGER, SPINE
from genims_platform.mysql.connection import identifier
from genims_platform_tests.audit.verify.attacker import Attacker
from genims_platform_tests.audit.verify.trail import KEY, copy_of, row_event

CHANGES, CHECKPOINTS = "data_change_audit", "audit_integrity_checkpoints"
ALL = tuple(table_numbers())
ACCOUNT = {"account_id": "ACC-000001", "account_name": "Müller", "credit_limit": "1.00"}


@dataclass(frozen=True)
class Manipulation:
    """One thing that is done, and the finding that names it."""

    name: str
    code: Code
    sequence: int | None
    """The first number that the finding must call bad."""

    tables: tuple[str, ...]
    """What is changed in MySQL; triggers and checks are off meanwhile."""

    act: Callable[[Attacker], None]
    rebuild: bool = False
    """Whether the tables themselves are changed, not only their rows."""

    unfence: bool = True
    """False: it needs no statement that a trigger or check would see."""

    refence: bool = True
    undo: Callable[[Attacker], None] | None = None
    engine: str | None = None
    """The only server that allows it at all."""


def _sql(*statements: str) -> Callable[[Attacker], None]:
    return lambda attacker: attacker.run(*statements)


def _rechained(first: int, *statements: str, rows: bool = True) -> Callable[[Attacker], None]:
    def act(attacker: Attacker) -> None:
        attacker.run(*statements)
        attacker.rechain(first, rows=rows)

    return act


def _fork(attacker: Attacker) -> None:
    attacker.copy(
        SPINE,
        {
            "batch_no": "16",
            "prev_batch_no": "15",
            "prev_hash": "UNHEX(SHA2('forged', 256))",
            "tick_from": "tick_to",
            "tick_to": "tick_to + 1",
            "prev_last_sequence": "last_sequence",
            "first_sequence": "last_sequence + 1",
            "event_count": "0",
            "row_count": "0",
            "table_counts": "''",
            "merkle_root": "UNHEX(SHA2('', 256))",
            "prev_recorded_at": "recorded_at",
            "batch_uid": "LEFT(UNHEX(SHA2('forged', 256)), 16)",
        },
        "batch_no = 15",
    )
    # Its own hash is right, the one it names as its predecessor's is not.
    kept = attacker.rows(f"SELECT prev_hash FROM {SPINE} WHERE batch_no = 16")[0][0]
    attacker.rechain(16)
    attacker.run(f"UPDATE {SPINE} SET prev_hash = 0x{bytes(kept).hex()} WHERE batch_no = 16")
    _rehash_alone(attacker, 16)


def _rehash_alone(attacker: Attacker, batch: int) -> None:
    spine = live_layouts(attacker.connection, attacker.name)[SPINE]
    with attacker.connection.cursor(raw=True) as cursor:
        cursor.execute(f"SELECT {spine.select} FROM {SPINE} WHERE batch_no = {batch}")
        (row,) = cursor.fetchall()
    digest = spine.batch_hash(row).hex()  # pyright: ignore
    attacker.run(f"UPDATE {SPINE} SET batch_hash = 0x{digest} WHERE batch_no = {batch}")


def _cut_off(attacker: Attacker) -> None:
    attacker.run(f"DELETE FROM {SPINE} WHERE batch_no >= 11")
    attacker.run(*(f"DELETE FROM {table} WHERE audit_sequence >= 14" for table in ALL if table != SPINE))


def _rights(verb: str, preposition: str) -> Callable[[Attacker], None]:
    def act(attacker: Attacker) -> None:
        relay = attacker.trail.settings.mysql_audit_as("relay").user
        attacker.run(f"{verb} {identifier(attacker.name)}.* {preposition} '{relay}'@'127.0.0.1'")

    return act


def _insert_change(sequence: str, item: str = "7") -> Callable[[Attacker], None]:
    def act(attacker: Attacker) -> None:
        attacker.copy(CHANGES, {"audit_sequence": sequence, "item_no": item}, "audit_sequence = 3 AND item_no = 0")

    return act


def _forged_session(attacker: Attacker) -> None:
    """As the relay's own account, which may only insert: the variables of the fence can be set by hand."""
    relay = audit_database(attacker.trail.settings, "relay")
    with relay.connection() as connection, connection.cursor() as cursor:
        cursor.execute(
            f"SELECT batch_no, recorded_at, source_db INTO @genims_batch, @genims_at, @genims_source FROM {SPINE} "
            "WHERE batch_no = 9"
        )
        cursor.execute("SET @genims_first = 11, @genims_last = 12")
        cursor.execute(
            "INSERT INTO login_audit (audit_sequence, item_no, recorded_at, batch_no, source_db, login_timestamp, "
            "event_type, login_status, realm) SELECT 12, 1, recorded_at, 9, 'crm', recorded_at, 'LOGIN', 'SUCCESS', "
            f"'database' FROM {SPINE} WHERE batch_no = 9"
        )
        connection.commit()
    relay.close()


def _into_another_table(attacker: Attacker) -> None:
    attacker.run(
        "INSERT INTO supplier_data_changes (audit_sequence, item_no, recorded_at, batch_no, source_db, "
        "change_timestamp, table_name, change_type, change_area, payment_relevant) SELECT audit_sequence, item_no, "
        "recorded_at, batch_no, source_db, change_timestamp, table_name, change_type, 'MASTER', 0 "
        "FROM customer_data_changes WHERE audit_sequence = 14",
        "DELETE FROM customer_data_changes WHERE audit_sequence = 14",
    )


def _exchange(attacker: Attacker) -> None:
    attacker.run(
        f"CREATE TABLE exchanged LIKE {CHANGES}",
        "ALTER TABLE exchanged REMOVE PARTITIONING",
        f"ALTER TABLE {CHANGES} EXCHANGE PARTITION p2026 WITH TABLE exchanged",
        f"ALTER TABLE {CHANGES} EXCHANGE PARTITION p2027 WITH TABLE exchanged WITHOUT VALIDATION",
        "DROP TABLE exchanged",
    )


def _file(attacker: Attacker, number: int) -> Path:
    (path,) = attacker.trail.worm.rglob(f"cp-{number:012d}-*.json")
    return path


def _write(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def _newest(attacker: Attacker) -> Checkpoint:
    assert attacker.trail.newest
    return attacker.trail.newest


def _replace_newest(attacker: Attacker, forged: Checkpoint) -> None:
    """Put another checkpoint in the place of the newest, and make MySQL agree with it."""
    _write(_file(attacker, 3), forged.content)
    copy = copy_of(forged)
    names = ("body", "signature", "key_id", "worm_sha256", "checkpoint_timestamp")
    with attacker.connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {CHECKPOINTS} SET {', '.join(f'{name} = %s' for name in names)} WHERE checkpoint_no = 3",
            tuple(copy[name] for name in names),
        )
    attacker.rechain(15)


def _other_key(attacker: Attacker) -> None:
    newest = _newest(attacker)
    _replace_newest(attacker, replace(newest, signature=SigningKey(bytes(32)).sign(newest.body)))


def _unknown_key(attacker: Attacker) -> None:
    _replace_newest(attacker, Checkpoint.sign(_newest(attacker).statement, SigningKey(bytes(32))))


def _predated(attacker: Attacker) -> None:
    """With a stolen signing key."""
    said = _newest(attacker).statement
    _replace_newest(attacker, Checkpoint.sign(replace(said, issued_at=said.issued_at - timedelta(hours=1)), KEY))


def _changed_object(attacker: Attacker) -> None:
    path = _file(attacker, 2)
    _write(path, path.read_bytes().replace(b'"last_sequence":12', b'"last_sequence":11'))


def _elsewhere(attacker: Attacker) -> None:
    _file(attacker, 3).unlink()
    attacker.run(
        f"DELETE FROM {CHECKPOINTS} WHERE checkpoint_no = 3", f"DELETE FROM {LEDGER} WHERE audit_sequence = 22"
    )
    attacker.run(f"DELETE FROM {SPINE} WHERE batch_no = 15")


def _now(attacker: Attacker) -> datetime:
    attacker.trail.ledger.close()  # the server ends connections that were idle
    return attacker.trail.ledger.now()


def _twice(attacker: Attacker) -> None:
    events = [
        row_event(6, "UPDATE", "accounts", "customer", "ACC-000001", ACCOUNT, {**ACCOUNT, "credit_limit": "2.00"})
    ]
    attacker.trail.stream("crm", events, recorded_at=_now(attacker))


def _without_change(attacker: Attacker) -> None:
    event = row_event(5, "UPDATE", "materials", "master", "M", {"standard_cost": "1"}, {"standard_cost": "2"})
    whole = attacker.trail.router.route("erp", 1, event)
    kept = tuple((table, row) for table, row in whole.details if table != CHANGES)
    attacker.trail.stream("erp", [], entries=[Entry(whole.ledger, kept)], recorded_at=_now(attacker))


class _NoCipher:
    """Encrypts nothing."""

    def encrypt(
        self,
        subject_ref: str,
        source: str,
        incarnation: int,
        event_id: int,
        column: str,
        side: Side,
        kind: Kind,
        text: str,
    ) -> str:
        del subject_ref, source, incarnation, event_id, column, side, kind
        return text

    def key_id(self, subject_ref: str) -> str:
        return f"none of {subject_ref}"


def _in_clear(operation: str) -> Callable[[Attacker], None]:
    def act(attacker: Attacker) -> None:
        old = {"contact_id": "CONT-000001", "phone": "x1"}
        router = Router(audit_policy(), _NoCipher())
        new = None if operation == "DELETE" else {**old, "phone": "x2"}
        event = row_event(7, operation, "contacts", "customer", "CONT-000001", old, new)
        entries = [router.route("crm", 1, event)]
        attacker.trail.stream("crm", [], entries=entries, recorded_at=_now(attacker))

    return act


_HOSTILE_WRITER = (
    SPINE,
    LEDGER,
    CHANGES,
    "customer_data_changes",
    "financial_data_changes",
    "price_cost_changes",
    "master_data_changes",
)

MANIPULATIONS: tuple[Manipulation, ...] = (
    Manipulation(
        "who wrote a batch, in its spine row",
        "V1",
        11,
        (SPINE,),
        _sql(f"UPDATE {SPINE} SET writer_id = 'x' WHERE batch_no = 9"),
    ),
    Manipulation(
        "the Merkle root of a batch, in its spine row",
        "V1",
        8,
        (SPINE,),
        _sql(f"UPDATE {SPINE} SET merkle_root = batch_hash WHERE batch_no = 7"),
    ),
    Manipulation("a row of the spine deleted", "V2", 10, (SPINE,), _sql(f"DELETE FROM {SPINE} WHERE batch_no = 8")),
    Manipulation("the first batches deleted", "V2", 1, (SPINE,), _sql(f"DELETE FROM {SPINE} WHERE batch_no < 4")),
    Manipulation("a batch that names another predecessor", "V2", 22, (SPINE,), _fork),
    Manipulation(
        "numbers left out, hashes recomputed",
        "V3",
        14,
        (SPINE,),
        _rechained(11, f"UPDATE {SPINE} SET first_sequence = 15, last_sequence = 15 WHERE batch_no = 11", rows=False),
    ),
    Manipulation(
        "a number given twice, hashes recomputed",
        "V3",
        20,
        (SPINE,),
        _rechained(14, f"UPDATE {SPINE} SET first_sequence = 20, last_sequence = 20 WHERE batch_no = 14", rows=False),
    ),
    Manipulation(
        "a range of ticks left out, hashes recomputed",
        "V4",
        14,
        (SPINE,),
        _rechained(11, f"UPDATE {SPINE} SET tick_from = 13, tick_to = 14 WHERE batch_no = 11"),
    ),
    Manipulation(
        "a part of a range left out, hashes recomputed",
        "V4",
        10,
        (SPINE,),
        _rechained(8, f"UPDATE {SPINE} SET part_no = 2 WHERE batch_no = 8"),
    ),
    Manipulation(
        "a value before or after a change",
        "V5",
        2,
        (CHANGES,),
        _sql(f"UPDATE {CHANGES} SET new_value = '999' WHERE audit_sequence = 3"),
    ),
    Manipulation(
        "the user of an event, in the ledger",
        "V5",
        14,
        (LEDGER,),
        _sql(f"UPDATE {LEDGER} SET user_id = 'x' WHERE audit_sequence = 14"),
    ),
    Manipulation(
        "a text set from NULL to empty",
        "V5",
        11,
        ("login_audit",),
        _sql("UPDATE login_audit SET device_id = '' WHERE audit_sequence = 12"),
    ),
    Manipulation(
        "an event deleted from the ledger", "V6", 9, (LEDGER,), _sql(f"DELETE FROM {LEDGER} WHERE audit_sequence = 9")
    ),
    Manipulation(
        "a detail row deleted",
        "V6",
        2,
        ("customer_data_changes",),
        _sql("DELETE FROM customer_data_changes WHERE audit_sequence = 3"),
    ),
    Manipulation("a row inserted into an old batch", "V7", 3, (CHANGES,), _insert_change("audit_sequence")),
    Manipulation("a row inserted behind the newest batch", "V7", 900, (CHANGES,), _insert_change("900")),
    Manipulation(
        "a row inserted by the relay's account with forged session variables",
        "V7",
        12,
        ("login_audit",),
        _forged_session,
    ),
    Manipulation(
        "a row moved to another year",
        "V8",
        3,
        (CHANGES,),
        _sql(f"UPDATE {CHANGES} SET recorded_at = recorded_at + INTERVAL 1 YEAR WHERE audit_sequence = 3"),
    ),
    Manipulation(
        "a row moved to another batch",
        "V8",
        8,
        (CHANGES,),
        _sql(f"UPDATE {CHANGES} SET audit_sequence = 8, item_no = 9 WHERE audit_sequence = 3 AND item_no = 0"),
    ),
    Manipulation(
        "a row moved to another table",
        "V8",
        14,
        ("customer_data_changes", "supplier_data_changes"),
        _into_another_table,
    ),
    Manipulation("a partition emptied", "V9", 2, (CHANGES,), _sql(f"ALTER TABLE {CHANGES} TRUNCATE PARTITION p2026")),
    Manipulation(
        "a partition dropped", "V9", 2, (CHANGES,), _sql(f"ALTER TABLE {CHANGES} DROP PARTITION p2026"), rebuild=True
    ),
    Manipulation(
        "two partitions exchanged", "V9", 2, (CHANGES,), _exchange, rebuild=True, unfence=False, engine="mysql"
    ),
    Manipulation("the newest batches cut off", "V10", 14, ALL, _cut_off),
    Manipulation(
        "a value edited, all hashes since recomputed",
        "V11",
        7,
        (SPINE, CHANGES),
        _rechained(7, f"UPDATE {CHANGES} SET new_value = '1' WHERE audit_sequence = 8"),
    ),
    Manipulation(
        "a checkpoint deleted where they are kept", "V12", 7, (), lambda attacker: _file(attacker, 2).unlink()
    ),
    Manipulation("a checkpoint changed where they are kept", "V12", 12, (), _changed_object),
    Manipulation(
        "the copy of a checkpoint in MySQL, hashes recomputed",
        "V12",
        22,
        (SPINE, CHECKPOINTS),
        _rechained(15, f"UPDATE {CHECKPOINTS} SET covers_sequence = 20 WHERE checkpoint_no = 3"),
    ),
    Manipulation(
        "a checkpoint with a wrong signature, MySQL made to agree", "V13", 13, (SPINE, CHECKPOINTS), _other_key
    ),
    Manipulation(
        "a checkpoint signed with an unknown key, MySQL made to agree", "V13", 13, (SPINE, CHECKPOINTS), _unknown_key
    ),
    Manipulation("checkpoints written elsewhere", "V14", 14, (SPINE, LEDGER, CHECKPOINTS), _elsewhere),
    Manipulation(
        "a trigger dropped",
        "V15",
        None,
        ("login_audit",),
        _sql("DROP TRIGGER IF EXISTS login_audit_no_upd"),
        refence=False,
    ),
    Manipulation(
        "a trigger that does nothing in the place of a fence",
        "V15",
        None,
        ("login_audit",),
        _sql("CREATE TRIGGER login_audit_no_upd BEFORE UPDATE ON login_audit FOR EACH ROW SET @a = 1"),
        refence=False,
    ),
    Manipulation("a 31st table", "V15", None, ("extra",), _sql("CREATE TABLE extra (a INT)"), rebuild=True),
    Manipulation(
        "a column widened",
        "V15",
        None,
        ("login_audit",),
        _sql("ALTER TABLE login_audit MODIFY realm VARCHAR(99) NOT NULL"),
        rebuild=True,
    ),
    Manipulation(
        "an index dropped", "V15", None, (SPINE,), _sql(f"ALTER TABLE {SPINE} DROP INDEX ux_cursor"), rebuild=True
    ),
    Manipulation(
        "a right to change rows granted",
        "V16",
        None,
        (),
        _rights("GRANT UPDATE ON", "TO"),
        undo=_rights("REVOKE UPDATE ON", "FROM"),
    ),
    Manipulation(
        "numbers declared void, the reason for it deleted, hashes recomputed",
        "V19",
        15,
        (SPINE, "security_events"),
        _rechained(13, "UPDATE security_events SET event_type = 'OTHER' WHERE audit_sequence = 20"),
    ),
    Manipulation(
        "an event under a number declared void",
        "V19",
        16,
        (LEDGER,),
        lambda attacker: attacker.copy(LEDGER, {"audit_sequence": "16", "batch_no": "12"}, "audit_sequence = 20"),
    ),
    Manipulation("an event delivered twice by a faulty relay", "V20", 23, _HOSTILE_WRITER, _twice),
    Manipulation(
        "an event deleted from the ledger, hashes recomputed",
        "V20",
        21,
        (SPINE, LEDGER),
        _rechained(14, f"DELETE FROM {LEDGER} WHERE audit_sequence = 21"),
    ),
    Manipulation(
        "a price change without the change, written by a faulty relay", "V21", 23, _HOSTILE_WRITER, _without_change
    ),
    Manipulation(
        "a personal value in clear, written by a faulty relay", "V22", 23, _HOSTILE_WRITER, _in_clear("UPDATE")
    ),
    Manipulation("a personal value in clear in a row image", "V22", 23, _HOSTILE_WRITER, _in_clear("DELETE")),
    Manipulation(
        "time set back, hashes recomputed",
        "V23",
        14,
        (SPINE, LEDGER, CHANGES, "customer_data_changes", "financial_data_changes"),
        _rechained(
            11,
            f"UPDATE {SPINE} SET recorded_at = recorded_at - INTERVAL 1 HOUR WHERE batch_no = 11",
            *(
                f"UPDATE {table} SET recorded_at = recorded_at - INTERVAL 1 HOUR WHERE audit_sequence = 14"
                for table in (LEDGER, CHANGES, "customer_data_changes", "financial_data_changes")
            ),
        ),
    ),
    Manipulation(
        "a checkpoint predated with a stolen key, MySQL made to agree", "V23", 13, (SPINE, CHECKPOINTS), _predated
    ),
)
"""In the order of their codes."""
