"""Events that cannot be stored keep their place; those after them arrive as always."""

import json
from contextlib import closing

from genims_platform.audit.encryption.keystore import key_store
from genims_platform.audit.relay.quarantined_events import explain, quarantined_events
from genims_platform_tests.audit.relay.trail import Trail

ACCOUNT = "INSERT INTO accounts (account_id, account_number, account_name) VALUES (%(id)s, %(id)s, 'secret name')"


def statuses(trail: Trail, keys: tuple[str, ...]) -> list[tuple[str | None, str]]:
    marks = ", ".join(["%s"] * len(keys))
    return trail.query(
        f"SELECT primary_key_value, status FROM system_audit_log WHERE primary_key_value IN ({marks}) "
        "ORDER BY audit_sequence",
        keys,
    )


def test_an_event_that_cannot_be_mapped_is_kept_in_its_place(trail_of_three: Trail) -> None:
    trail = trail_of_three
    crm = trail.sources["crm"]
    with crm.session() as connection, connection, connection.cursor() as cursor:
        cursor.execute(ACCOUNT, {"id": "Q1"})
        # Longer than the column, and what identifies is never cut.
        cursor.execute("SELECT audit.set_context(repeat('u', 200))")
        cursor.execute(ACCOUNT, {"id": "Q2"})
        cursor.execute("SELECT audit.set_context('somebody')")
        cursor.execute(ACCOUNT, {"id": "Q3"})

    result = trail.deliver()

    assert result.quarantined == 1
    assert statuses(trail, ("Q1", "Q2", "Q3")) == [("Q1", "OK"), ("Q2", "QUARANTINED"), ("Q3", "OK")]
    trail.check_complete()
    event = next(found for found in quarantined_events(trail.settings) if found.key == "Q2")
    assert "user_id has 200 characters" in event.reason
    with closing(key_store(trail.settings)) as keys:
        _, fields = explain(trail.settings, keys, event.sequence)
    assert fields is not None
    assert json.loads(fields["new"])["account_name"] == "secret name"
    ((payload,),) = trail.query("SELECT payload FROM system_audit_log WHERE audit_sequence = %s", (event.sequence,))
    assert "secret name" not in payload
    assert trail.query("SELECT event_type FROM security_events WHERE audit_sequence = %s", (event.sequence,)) == [
        ("POISON_EVENT",)
    ]


def test_an_event_that_only_the_database_refuses_is_found_among_others(trail: Trail) -> None:
    crm = trail.sources["crm"]
    with trail.database.administration() as connection, connection.cursor() as cursor:
        cursor.execute(
            f"ALTER TABLE `{trail.settings.mysql_audit_db}`.data_change_audit "
            "ADD CONSTRAINT no_poison CHECK (primary_key_value IS NULL OR primary_key_value <> 'POISON')"
        )
    for number in range(5):
        crm.execute(ACCOUNT, {"id": f"before {number}"})
    crm.execute(ACCOUNT, {"id": "POISON"})
    for number in range(5):
        crm.execute(ACCOUNT, {"id": f"after {number}"})

    result = trail.deliver()

    assert result.quarantined == 1
    assert statuses(trail, ("before 4", "POISON", "after 0")) == [
        ("before 4", "OK"),
        ("POISON", "QUARANTINED"),
        ("after 0", "OK"),
    ]
    trail.check_complete()
