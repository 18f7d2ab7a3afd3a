"""What appears in a source and the policy does not know is a violation within seconds, once, and stops nothing."""

from contextlib import closing
from datetime import timedelta

import pytest

from genims_platform.audit.ledger.append import open_ledger
from genims_platform.audit.ledger.control import Appender, Fact
from genims_platform.audit.relay.unclassified_names import unclassified_facts
from genims_platform.audit.routing.router import Unclassified
from genims_platform_tests.audit.relay.test_quarantine import ACCOUNT, statuses
from genims_platform_tests.audit.relay.trail import Trail, running

CASES = """
    SELECT dedup_key, framework, severity, status, detected_by FROM compliance_violations
    WHERE rule_id LIKE 'UNCLASSIFIED%' ORDER BY dedup_key
"""
TABLE = ("UNCLASSIFIED_TABLE:crm.fresh", "POLICY", "HIGH", "OPEN", "genims-audit-relay")
COLUMN = ("UNCLASSIFIED_COLUMN:crm.accounts.shoe_size", "POLICY", "MEDIUM", "OPEN", "genims-audit-relay")


@pytest.fixture
def watchful(trail: Trail) -> Trail:
    """A trail whose relay compares catalogues every second."""
    settings = trail.settings.model_copy(update={"audit_fingerprint_seconds": 1})
    return Trail(settings, trail.sources, trail.database)


def test_new_names_are_recorded_once_and_delivery_goes_on(watchful: Trail) -> None:
    crm = watchful.sources["crm"]
    with running(watchful) as relay:
        relay.wait_for(lambda: bool(relay.reports), "the relay does not work")
        crm.execute("CREATE TABLE fresh (id int)")
        crm.execute("ALTER TABLE accounts ADD shoe_size text")
        relay.wait_for(lambda: watchful.query(CASES) == [COLUMN, TABLE], "no violation was recorded")
        crm.execute(ACCOUNT, {"id": "S1"})
        relay.wait_for(lambda: statuses(watchful, ("S1",)) == [("S1", "OK")], "an event was not delivered")
    events = watchful.query(
        "SELECT event_type, event_severity, resource_type, resource_name FROM security_events "
        "WHERE event_type LIKE 'UNCLASSIFIED%' ORDER BY event_type"
    )
    assert events == [
        ("UNCLASSIFIED_COLUMN", "MEDIUM", "column", "crm.accounts.shoe_size"),
        ("UNCLASSIFIED_TABLE", "HIGH", "table", "crm.fresh"),
    ]

    # Another run, and another relay beside it, find them as well.
    watchful.deliver()
    with running(watchful, exclusive=False) as relay, running(watchful, exclusive=False) as other:
        crm.execute(ACCOUNT, {"id": "S2"})
        relay.wait_for(lambda: statuses(watchful, ("S2",)) == [("S2", "OK")], "an event was not delivered")
        other.wait_for(lambda: len(other.reports) > 1, "the other relay does not work")
    assert watchful.query(CASES) == [COLUMN, TABLE]
    watchful.check_complete()


def test_an_event_shows_a_new_column_before_the_catalogue_is_compared(trail: Trail) -> None:
    crm = trail.sources["crm"]
    trail.deliver()
    with running(trail) as relay:
        relay.wait_for(lambda: bool(relay.reports), "the relay does not work")
        crm.execute("ALTER TABLE accounts ADD shoe_size text")
        crm.execute(ACCOUNT, {"id": "S1"})
        relay.wait_for(lambda: trail.query(CASES) == [COLUMN], "no violation was recorded")


def test_a_case_is_opened_again_only_after_it_was_resolved(trail: Trail) -> None:
    name = Unclassified("crm", "fresh")
    with closing(open_ledger(trail.settings, "writer")) as ledger:
        appender = Appender(ledger)

        def settle(status: str) -> None:
            now = ledger.now()
            case = {
                "detected_timestamp": now,
                "violation_id": "V-20261122-000001",
                "revision": 2,
                "dedup_key": "UNCLASSIFIED_TABLE:crm.fresh",
                "framework": "POLICY",
                "rule_id": "UNCLASSIFIED_TABLE",
                "severity": "HIGH",
                "title": "settled",
                "status": status,
                "detected_by": "ann",
            }
            appender.record([Fact("VIOLATION", "ann", (("compliance_violations", case),))])

        def opened() -> int:
            return len(appender.record(lambda: unclassified_facts(ledger, {name})))

        assert [opened(), opened()] == [1, 0]
        for status, again in (("ACKNOWLEDGED", 0), ("WAIVED", 0), ("RESOLVED", 1)):
            settle(status)
            assert opened() == again, status
        ((due, detected),) = ledger.query(
            "SELECT due_date, detected_timestamp FROM compliance_violations "
            "WHERE status = 'OPEN' ORDER BY audit_sequence DESC LIMIT 1"
        )
        assert due == detected.date() + timedelta(days=5)
