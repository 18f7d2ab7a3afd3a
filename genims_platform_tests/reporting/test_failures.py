"""Refreshes that cannot succeed say what is wrong, where and how to mend it, and leave the old rows as they were."""

import socket
import traceback
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager

import polars as pl
import pytest
from pydantic import SecretStr

from genims_platform.mysql.connection import Database
from genims_platform.mysql.errors import DatabaseUnavailableError, DatabaseUnreachableError
from genims_platform.orchestration.resources import reporting_database
from genims_platform.reporting.kpi import UNKNOWN
from genims_platform.reporting.periods import DAY
from genims_platform.reporting.publish import NoSourceRowsError, Refresh, refresh
from genims_platform.reporting.registry import reporting_tables
from genims_platform.reporting.table import ReportingTable
from genims_platform.settings import SOURCE_NAMES, Settings
from genims_platform.sources import schema
from genims_platform.sources.connection import SourceUnavailableError, connect
from genims_platform.sources.reader import SourceDriftError, SourceReader, SourceReadError
from genims_platform_tests.factory_group import TODAY, UNTIL, days, write

HOURS = days(TODAY - 6 * DAY, TODAY + DAY)
WRONG = "not-the-password"

QUALITY = reporting_tables()["quality_summary_daily"]
PRODUCTION = reporting_tables()["production_summary_daily"]
"""Asks for its linked days by SQL before it reads a table, so its first question goes to `mes`."""

Refusal = Callable[[ReportingTable, Settings, type[Exception]], str]


@pytest.fixture
def refusal(factory: Settings, reporting: Database) -> Refusal:
    """Publishes a table, refreshes it with other settings, and returns the message of the error that must end that."""

    def attempt(table: ReportingTable, settings: Settings, expected: type[Exception]) -> str:
        before = stored(table, reporting)
        assert before.height > 0
        with pytest.raises(expected) as caught:
            publish(table, settings)
        assert stored(table, reporting).equals(before)
        shown = "".join(traceback.format_exception(caught.value))
        for password in (settings.pg_password, settings.mysql_reporting_password):
            assert password.get_secret_value() not in shown
        return str(caught.value)

    for table in (QUALITY, PRODUCTION):
        assert not publish(table, factory).failures
    return attempt


def publish(table: ReportingTable, settings: Settings) -> Refresh:
    with closing(reporting_database(settings)) as target:
        return refresh(table, HOURS, sources=SourceReader(settings), target=target, as_of=UNTIL, lock_timeout=5)


def stored(table: ReportingTable, target: Database) -> pl.DataFrame:
    """The rows with the instant at which they were written."""
    return target.read(f"SELECT * FROM {table.name} ORDER BY {', '.join(table.contract.primary_key)}")


@pytest.fixture
def closed_port() -> Generator[int]:
    """A port on which nothing listens and no one else can."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@contextmanager
def altered(settings: Settings, change: str, back: str) -> Generator[None]:
    """The live `mes` tables changed by one statement for the length of the block."""
    write(settings, "mes", f"ALTER TABLE {change}")
    try:
        yield
    finally:
        write(settings, "mes", f"ALTER TABLE {back}")


def test_wrong_postgres_password(factory: Settings, refusal: Refusal) -> None:
    wrong = factory.model_copy(update={"pg_password": SecretStr(WRONG)})
    assert refusal(PRODUCTION, wrong, SourceUnavailableError) == (
        f"{factory.pg_mes_db} at 127.0.0.1:{factory.pg_port}: wrong user or password; check PG_USER and PG_PASSWORD"
    )


def test_postgres_down(factory: Settings, refusal: Refusal, closed_port: int) -> None:
    down = factory.model_copy(update={"pg_port": closed_port})
    explanation = "connection refused; is the server running, and are PG_HOST and PG_PORT right?"
    for table in (PRODUCTION, QUALITY):
        message = refusal(table, down, SourceUnavailableError)
        assert message.endswith(f" at 127.0.0.1:{closed_port}: {explanation}")
        assert message.partition(" ")[0] in {factory.source_database(name) for name in SOURCE_NAMES}


def test_wrong_mysql_password(factory: Settings, refusal: Refusal) -> None:
    wrong = factory.model_copy(update={"mysql_reporting_password": SecretStr(WRONG)})
    assert refusal(QUALITY, wrong, DatabaseUnavailableError) == (
        f"MySQL database {factory.mysql_reporting_db} at 127.0.0.1:{factory.mysql_reporting_port} as user "
        f"{factory.mysql_reporting_user}: wrong user or password; check the *_USER and *_PASSWORD variables"
    )


def test_mysql_down(factory: Settings, refusal: Refusal, closed_port: int) -> None:
    down = factory.model_copy(update={"mysql_reporting_port": closed_port})
    assert refusal(QUALITY, down, DatabaseUnreachableError) == (
        f"MySQL database {factory.mysql_reporting_db} at 127.0.0.1:{closed_port} as user "
        f"{factory.mysql_reporting_user}: connection refused; is the server running, and are host and port right?"
    )


def test_missing_mysql_database(factory: Settings, refusal: Refusal) -> None:
    absent = factory.model_copy(update={"mysql_reporting_db": f"{factory.mysql_reporting_db}_absent"})
    message = refusal(QUALITY, absent, DatabaseUnavailableError)
    assert f"{absent.mysql_reporting_db} at 127.0.0.1:{factory.mysql_reporting_port}" in message
    assert message.endswith("no such database; run `genims schema deploy`, or check the *_DB variable")


def test_missing_source_database(factory: Settings, refusal: Refusal) -> None:
    absent = factory.model_copy(update={"pg_mes_db": f"{factory.pg_mes_db}_absent"})
    assert refusal(PRODUCTION, absent, SourceUnavailableError) == (
        f"{absent.pg_mes_db} at 127.0.0.1:{factory.pg_port}: no such database; check its PG_*_DB variable"
    )


DRIFT = [
    pytest.param(
        QUALITY,
        "defects RENAME TO gone",
        "gone RENAME TO defects",
        " has no table defects, which reports read",
        id="missing table",
    ),
    pytest.param(
        QUALITY,
        "defects RENAME quantity_affected TO gone",
        "defects RENAME gone TO quantity_affected",
        ": defects.quantity_affected is missing, expected integer",
        id="missing column",
    ),
    pytest.param(
        QUALITY,
        "defects ALTER quantity_affected TYPE bigint, ALTER defect_severity TYPE text",
        "defects ALTER quantity_affected TYPE integer, ALTER defect_severity TYPE varchar(20)",
        ": defects.defect_severity is text, expected varchar(20); "
        "defects.quantity_affected is bigint, expected integer",
        id="changed types",
    ),
    pytest.param(
        PRODUCTION,
        "material_transactions RENAME TO gone",
        "gone RENAME TO material_transactions",
        ': relation "material_transactions" does not exist',
        id="missing table, linked days",
    ),
    pytest.param(
        PRODUCTION,
        "labor_transactions RENAME clock_in_time TO gone",
        "labor_transactions RENAME gone TO clock_in_time",
        ': column "clock_in_time" does not exist',
        id="missing column, linked days",
    ),
    pytest.param(
        PRODUCTION,
        "labor_transactions ALTER clock_in_time TYPE text",
        "labor_transactions ALTER clock_in_time TYPE timestamp USING clock_in_time::timestamp",
        ": operator does not exist: text >= timestamp without time zone",
        id="changed type, linked days",
    ),
]


@pytest.mark.parametrize(("table", "change", "back", "found"), DRIFT)
def test_a_drifted_source(
    *, table: ReportingTable, change: str, back: str, found: str, factory: Settings, refusal: Refusal
) -> None:
    with altered(factory, change, back):
        message = refusal(table, factory, SourceDriftError)
    assert message == f"{factory.pg_mes_db} at 127.0.0.1:{factory.pg_port}{found}; run `genims sources check`"
    assert not publish(table, factory).failures


@pytest.mark.parametrize(
    ("table", "source", "what"),
    [
        (QUALITY, "qms.ncr_headers", "reading ncr_headers failed"),
        (PRODUCTION, "mes.labor_transactions", "a query failed"),
    ],
    ids=["rows", "linked days"],
)
def test_a_source_that_does_not_answer(
    table: ReportingTable, source: str, what: str, factory: Settings, refusal: Refusal
) -> None:
    hasty = factory.model_copy(update={"data_sync_timeout": 1})
    database, _, locked = source.partition(".")
    with closing(connect(factory.source_primary(database))) as blocker, blocker.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {locked} IN ACCESS EXCLUSIVE MODE")
        message = refusal(table, hasty, SourceReadError)
    assert message == (
        f"{factory.source(database).address}: {what}: no answer within 1 s, the limit that DATA_SYNC_TIMEOUT sets"
    )


@pytest.fixture(scope="module")
def empty(factory: Settings) -> Settings:
    """The same tables in other source databases, without a row."""
    names = sorted(
        {source.partition(".")[0] for table in reporting_tables().values() for source in table.source_tables}
    )
    own = factory.model_copy(update={f"pg_{name}_db": f"{factory.source_database(name)}_empty" for name in names})
    schema.create(own, names)
    return own


@pytest.mark.parametrize("table", [QUALITY, PRODUCTION], ids=lambda table: table.name)
def test_sources_without_a_row_do_not_erase_the_past(table: ReportingTable, empty: Settings, refusal: Refusal) -> None:
    message = refusal(table, empty, NoSourceRowsError)
    assert message.startswith(f"{table.name} keeps its old rows: no source table that it reads holds any (mes.work_ord")
    assert "PG_MES_DB" in message


def test_null_and_blank_keys_are_kept_as_unknown(factory: Settings, reporting: Database) -> None:
    whole = "SELECT SUM(units_produced) FROM production_summary_daily"
    assert not publish(PRODUCTION, factory).failures
    units = reporting.read(whole).item()
    orders = SourceReader(factory).query(
        "mes",
        "SELECT work_order_id, line_id, produced_quantity FROM work_orders WHERE status IN ('completed', 'closed') "
        "AND actual_end_time >= %(start)s AND actual_end_time < %(end)s AND produced_quantity > 0 LIMIT 2",
        {"start": HOURS.start, "end": UNTIL},
    )
    (first, first_line, first_units), (second, second_line, second_units) = orders.iter_rows()
    set_line = "UPDATE {table} SET line_id = %(line)s WHERE work_order_id = %(order)s"
    try:
        for order, blank in ((first, None), (second, "  ")):
            assert write(factory, "mes.work_orders", set_line, {"line": blank, "order": order}) == 1
        outcome = publish(PRODUCTION, factory)
    finally:
        for order, line in ((first, first_line), (second, second_line)):
            write(factory, "mes.work_orders", set_line, {"line": line, "order": order})
    assert not outcome.failures
    assert reporting.read(f"{whole} WHERE line_id = %s", (UNKNOWN,)).item() == first_units + second_units
    assert reporting.read(whole).item() == units


@pytest.mark.parametrize("name", sorted(reporting_tables()))
def test_a_row_without_any_value_breaks_no_identity(name: str) -> None:
    """NULL says that nothing is known, so no equation can be wrong."""
    table = reporting_tables()[name]
    unknown = pl.DataFrame(
        {column: [None] for column in table.contract.polars_schema}, schema=table.contract.polars_schema
    )
    for identity in table.checks.identities:
        off = unknown.select(identity.difference.cast(pl.Float64).abs()).item()
        assert off is None or off <= identity.tolerance, identity.name
