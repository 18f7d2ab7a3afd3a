from datetime import date

import polars as pl

from genims_platform.mysql.connection import Database
from genims_platform.mysql.deploy import deploy_contracts
from genims_platform.mysql.retention import delete_expired, window_start
from genims_platform.mysql.slices import exclusive_writer
from genims_platform_tests.mysql.conftest import CONTRACTS, TODAY, rows

LATER = date(2027, 1, 31)


def test_months_that_left_the_window_are_deleted_and_the_rest_stays(database: Database):
    days = [date(2025, 10, 31), date(2025, 11, 1), date(2025, 12, 31), date(2026, 1, 1), date(2026, 11, 1)]
    with exclusive_writer(database, "sample_daily", timeout=1) as writer:
        frame = pl.concat([rows({"a": 1}, day=day) for day in days])
        writer.replace(CONTRACTS["sample_daily"], frame, [(days[0], TODAY)], period_column="day")
    assert delete_expired(database, CONTRACTS, today=TODAY) == {"sample_daily": 1}
    deploy_contracts(database, CONTRACTS, today=LATER)
    assert window_start(LATER) == date(2026, 1, 1)
    assert delete_expired(database, CONTRACTS, today=LATER) == {"sample_daily": 2}
    assert delete_expired(database, CONTRACTS, today=LATER) == {}
    assert database.read("SELECT day FROM sample_daily ORDER BY day")["day"].to_list() == days[3:]
    first = database.read(
        "SELECT MIN(partition_name) FROM information_schema.partitions WHERE table_schema = %s "
        "AND partition_name IS NOT NULL AND partition_name <> 'p_future'",
        [database.server.database],
    )
    assert first.item() == "p202601"
    assert deploy_contracts(database, CONTRACTS, today=LATER) == []
