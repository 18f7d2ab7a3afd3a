"""A year without a partition: the relay waits and says so, and goes on by itself once there is one."""

from datetime import UTC, datetime

import pytest

from genims_platform_tests.audit.relay.test_quarantine import ACCOUNT, statuses
from genims_platform_tests.audit.relay.trail import Trail, running

TABLE = "customer_data_changes"


def administer(trail: Trail, clause: str) -> None:
    with trail.database.administration() as connection, connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE `{trail.settings.mysql_audit_db}`.{TABLE} {clause}")


@pytest.fixture
def year() -> int:
    return datetime.now(UTC).year


def test_a_missing_partition_is_waited_for(trail: Trail, year: int) -> None:
    administer(trail, "REMOVE PARTITIONING")
    administer(trail, f"PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p{year - 1} VALUES LESS THAN ({year}))")
    crm = trail.sources["crm"]
    with running(trail) as relay:
        crm.execute(ACCOUNT, {"id": "A"})
        relay.wait_for(lambda: any("1526" in (report.problem or "") for report in relay.reports), "no complaint")
        crm.execute(ACCOUNT, {"id": "B"})
        assert statuses(trail, ("A", "B")) == []
        administer(trail, f"ADD PARTITION (PARTITION p{year} VALUES LESS THAN ({year + 1}))")
        relay.wait_for_events("crm", len(trail.queued("crm")))

    assert statuses(trail, ("A", "B")) == [("A", "OK"), ("B", "OK")]
    assert trail.query(f"SELECT COUNT(*) FROM {TABLE}") == [(2,)]
    trail.check_complete()
