"""Events of partitions are those of the partitioned table: so they are classified, routed and counted."""

from genims_platform.audit.capture.install import install
from genims_platform_tests.audit.relay.trail import Trail, running

INSERT = (
    "INSERT INTO accounts (account_id, account_number, account_name) SELECT id, id, 'A' FROM unnest(%(ids)s::text[]) id"
)


def partition(trail: Trail) -> None:
    """`accounts` with two partitions, for keys with A and with B, captured."""
    crm = trail.sources["crm"]
    crm.execute(
        "ALTER TABLE accounts RENAME TO accounts_before; "
        "CREATE TABLE accounts (LIKE accounts_before INCLUDING DEFAULTS, PRIMARY KEY (account_id)) "
        "PARTITION BY RANGE (account_id); "
        "CREATE TABLE accounts_a PARTITION OF accounts FOR VALUES FROM (MINVALUE) TO ('B'); "
        "CREATE TABLE accounts_b PARTITION OF accounts FOR VALUES FROM ('B') TO ('C'); "
        "DROP TABLE accounts_before CASCADE"
    )
    install(crm.settings, "crm")


def names(trail: Trail, table: str = "system_audit_log") -> list[tuple[str, str]]:
    """Key and table of each row event."""
    kind = " WHERE event_kind = 'ROW'" if table == "system_audit_log" else ""
    return trail.query(f"SELECT primary_key_value, table_name FROM {table}{kind} ORDER BY audit_sequence, item_no")


def test_events_of_partitions_have_the_name_of_their_table(trail: Trail) -> None:
    partition(trail)
    crm = trail.sources["crm"]
    crm.execute(INSERT, {"ids": ["A-1", "B-1"]})
    crm.execute("UPDATE accounts SET account_id = 'B-2' WHERE account_id = 'A-1'")  # moves it
    trail.deliver()

    queued = [row["table_name"] for row in crm.events(kind="ROW")]
    assert sorted(queued) == ["accounts_a", "accounts_a", "accounts_b", "accounts_b"]
    assert names(trail) == [(key, "accounts") for key in ("A-1", "B-1", "A-1", "B-2")]
    assert names(trail, "customer_data_changes") == names(trail)
    classes = trail.query("SELECT DISTINCT sensitivity_class FROM system_audit_log WHERE event_kind = 'ROW'")
    assert classes == [("customer",)]
    trail.check_complete()


def test_a_bulk_counts_over_all_partitions(trail: Trail) -> None:
    partition(trail)
    rows = trail.settings.audit_bulk_rows
    ids = [f"{'AB'[number % 2]}-{number}" for number in range(rows)]
    trail.sources["crm"].execute(INSERT, {"ids": ids})
    trail.deliver()

    assert trail.query("SELECT table_name, rows_affected FROM bulk_operation_audit") == [("accounts", rows)]


def test_a_partition_that_is_made_while_the_relay_works(trail: Trail) -> None:
    partition(trail)
    crm = trail.sources["crm"]
    with running(trail) as relay:
        crm.execute(INSERT, {"ids": ["A-1"]})
        relay.wait_for(lambda: len(names(trail)) == 1, "the first event does not arrive")
        crm.execute("CREATE TABLE accounts_c PARTITION OF accounts FOR VALUES FROM ('C') TO (MAXVALUE)")
        crm.execute(INSERT, {"ids": ["C-1"]})
        relay.wait_for(lambda: len(names(trail)) == 2, "the second event does not arrive")

    assert names(trail) == [("A-1", "accounts"), ("C-1", "accounts")]
