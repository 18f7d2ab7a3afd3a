"""The tables of a source against their baselines: changes that no trigger saw, and no false alarm beside writers."""

import json
import random
import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from genims_platform.audit.capture.install import install
from genims_platform.audit.integrity import record_comparisons
from genims_platform.audit.reconcile.baseline import reconcile_baseline
from genims_platform.audit.reconcile.comparison import Comparison
from genims_platform.audit.reconcile.deep import reconcile_deep
from genims_platform.audit.reconcile.source import ReconciliationError, reconcile_days, reconcile_sequence
from genims_platform.cli import app
from genims_platform.commands import audit_reconcile
from genims_platform_tests.audit.capture.captured import Captured
from genims_platform_tests.audit.reconcile.site import Site

pytestmark = pytest.mark.usefixtures("_just_delivered")

WRITERS, ROUNDS = 4, 12


def baseline(site: Site, *, record: bool = False) -> dict[str, list[Comparison]]:
    found = reconcile_baseline(site.settings, "crm")
    if record:
        record_comparisons(site.settings, [one.row() for one in found], {}, operator="test", run_id="test")
    by_table: dict[str, list[Comparison]] = {}
    for one in found:
        by_table.setdefault(one.table or "", []).append(one)
    return by_table


def statuses(site: Site, *, record: bool = False) -> set[str]:
    return {one.status for found in baseline(site, record=record).values() for one in found}


@contextmanager
def maintenance(source: Captured) -> Generator[None]:
    owner = source.settings.source_primary(source.source).user
    with source.superuser() as connection, connection.cursor() as cursor:
        cursor.execute(f"GRANT genims_audit_maintenance TO {owner}")
        yield
        cursor.execute(f"REVOKE genims_audit_maintenance FROM {owner}")


def test_captured_changes_lead_to_what_is_there(site: Site) -> None:
    crm = site.trail.sources["crm"]
    names = "territory_id, territory_code, territory_name"
    for number in range(5):
        crm.execute(f"INSERT INTO sales_territories ({names}) VALUES ('T{number}', 'C{number}', 'N')")
    crm.execute("UPDATE sales_territories SET territory_name = 'Z' WHERE territory_id <> 'T3'")
    crm.execute("DELETE FROM sales_territories WHERE territory_id = 'T1'")
    first = baseline(site, record=True)
    (found,) = first["sales_territories"]
    assert (found.status, found.expected, found.actual[0]) == ("OK", found.actual, 4)
    assert {one.status for tables in first.values() for one in tables} == {"OK"}
    # Not delivered yet, and captured all the same; from here on the comparison before is the baseline.
    crm.execute("UPDATE sales_territories SET territory_name = 'Y'")
    (found,) = baseline(site)["sales_territories"]
    assert (found.status, found.tick_from is not None, found.actual[0]) == ("OK", True, 4)


def test_a_change_with_the_trigger_off_shows_here_and_nowhere_else(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_reconcile, "current_settings", lambda: site.settings)
    crm = site.trail.sources["crm"]
    assert statuses(site, record=True) == {"OK"}
    crm.execute(
        "ALTER TABLE sales_territories DISABLE TRIGGER zz_audit_upd;"
        "UPDATE sales_territories SET territory_name = 'unseen' WHERE territory_id = 'T0';"
        "ALTER TABLE sales_territories ENABLE ALWAYS TRIGGER zz_audit_upd"
    )
    site.trail.deliver()
    assert {found.status for found in reconcile_days(site.settings, "crm")} == {"OK"}
    others = (reconcile_sequence(site.settings), reconcile_deep(site.settings, "crm"))
    assert [found and found.status for found in others] == ["OK", "OK"]
    assert site.verified().findings == ()
    runner = CliRunner()
    for _ in range(2):  # a difference does not close itself
        done = runner.invoke(app, ["audit", "reconcile", "--source", "crm", "--baseline", "--json"])
        assert done.exit_code == 1, done.output
        rows = [row for row in json.loads(done.stdout)["comparisons"] if row["status"] != "OK"]
        assert [(row["table_name"], row["status"], row["gap_found"]) for row in rows] == [
            ("sales_territories", "MISMATCH", 1)
        ]
        assert rows[0]["expected_count"] == rows[0]["actual_count"]
    cases = site.trail.query("SELECT object_ref, severity FROM compliance_violations")
    assert cases == [("BASELINE crm.sales_territories", "CRITICAL")]
    # A new baseline is a decision of the installer; the way there is still a difference.
    with crm.superuser() as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE audit.policy SET baseline_at = NULL WHERE table_name = 'sales_territories'")
    assert install(crm.settings, "crm").baselines == 1
    before, after = baseline(site, record=True)["sales_territories"]
    assert (before.status, after.status) == ("MISMATCH", "OK")
    assert statuses(site) == {"OK"}


def test_truncate_and_other_columns(site: Site) -> None:
    crm = site.trail.sources["crm"]
    assert statuses(site, record=True) == {"OK"}
    with maintenance(crm):
        crm.execute(
            "INSERT INTO sales_territories (territory_id, territory_code, territory_name) VALUES ('T8', 'C8', 'N');"
            "SET LOCAL audit.maintenance = on; TRUNCATE sales_territories;"
            "INSERT INTO sales_territories (territory_id, territory_code, territory_name) VALUES ('T9', 'C9', 'N')"
        )
    (found,) = baseline(site, record=True)["sales_territories"]
    assert (found.status, found.actual[0]) == ("OK", 1)
    crm.execute("ALTER TABLE sales_territories ADD COLUMN colour text; UPDATE sales_territories SET colour = 'red'")
    (found,) = baseline(site, record=True)["sales_territories"]
    assert (found.status, found.notes and found.notes["reason"]) == (
        "NOT_AVAILABLE",
        "its columns are others than before",
    )
    crm.execute("UPDATE sales_territories SET colour = 'blue'")
    assert statuses(site) == {"OK"}


def test_a_baseline_that_the_queue_no_longer_leads_on_from(site: Site) -> None:
    short = site.settings.model_copy(update={"audit_queue_keep_days": -100})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genims_platform.audit.reconcile.baseline.SHORTEST_REACH", timedelta(days=-1))
        found = reconcile_baseline(short, "crm")
    assert {one.status for one in found} == {"NOT_AVAILABLE"}
    assert all(one.expected is None for one in found)


def test_writers_beside_it_are_no_difference(site: Site) -> None:
    crm = site.trail.sources["crm"]
    stop = threading.Event()
    errors: list[BaseException] = []

    def write(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311
        number = 0
        try:
            with crm.session() as connection:
                while not stop.is_set():
                    with connection.cursor() as cursor:
                        for _ in range(chance.randint(1, 4)):
                            key = f"W{seed}-{number % 7}"
                            number += 1
                            cursor.execute("DELETE FROM sales_territories WHERE territory_id = %s", (key,))
                            if chance.random() < 0.8:
                                cursor.execute(
                                    "INSERT INTO sales_territories (territory_id, territory_code, territory_name) "
                                    "VALUES (%s, %s, 'N')",
                                    (key, key),
                                )
                            cursor.execute("SAVEPOINT s")
                            renamed = "UPDATE sales_territories SET territory_name = %s WHERE territory_id = %s"
                            cursor.execute(renamed, (f"N{number}", key))
                            cursor.execute(f"{'ROLLBACK TO' if chance.random() < 0.5 else 'RELEASE'} SAVEPOINT s")
                    (connection.rollback if chance.random() < 0.3 else connection.commit)()
        except BaseException as error:
            errors.append(error)

    def empty() -> None:
        try:
            while not stop.wait(0.05):
                crm.execute("SET LOCAL audit.maintenance = on; TRUNCATE sales_territories")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(WRITERS)] + [
        threading.Thread(target=empty)
    ]
    with maintenance(crm):
        for thread in threads:
            thread.start()
        try:
            for number in range(ROUNDS):
                assert statuses(site, record=number % 3 == 0) == {"OK"}
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert errors == []
    site.trail.deliver()
    assert statuses(site) == {"OK"}


def test_capture_of_an_older_version(site: Site) -> None:
    crm = site.trail.sources["crm"]
    with crm.superuser() as connection, connection.cursor() as cursor:
        cursor.execute("ALTER FUNCTION audit.count_rows(text, text) RENAME TO count_rows_")
    try:
        with pytest.raises(ReconciliationError, match="genims audit install --source crm"):
            reconcile_baseline(site.settings, "crm")
    finally:
        with crm.superuser() as connection, connection.cursor() as cursor:
            cursor.execute("ALTER FUNCTION audit.count_rows_(text, text) RENAME TO count_rows")
