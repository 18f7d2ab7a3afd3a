"""What dashboards ask: one question a reporting table, which the documentation shows and a benchmark times."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.mysql.connection import Database, identifier, read_frame
from genims_platform.mysql.contract import contracts

_PARAMETER = re.compile(r"%\((\w+)\)s")
_DAYS = ("today", "month")
_NO_INDEX = "ALL"


@dataclass(frozen=True)
class DashboardQuery:
    """A SELECT for MySQL and MariaDB with named parameters, and the question it answers.

    `%(today)s` is a day and `%(month)s` the first day of a month; any other parameter is a value of the column of that
    name.
    """

    table: str
    question: str
    statement: str

    @property
    def columns_chosen(self) -> tuple[str, ...]:
        """Columns of which the person at the dashboard chooses a value."""
        return tuple(sorted({*_PARAMETER.findall(self.statement)} - {*_DAYS}))


@dataclass(frozen=True)
class Access:
    """How the server reads a table for a query: its access type (`ALL` scans every row) and the index it uses."""

    type: str
    index: str | None

    @property
    def indexed(self) -> bool:
        """Whether an index is used."""
        return self.index is not None and self.type != _NO_INDEX


def dashboard_query(table: str) -> DashboardQuery:
    """The query of a reporting table.

    Raises:
        FileNotFoundError: the table has none.
    """
    folder = resources.files("genims_platform.reporting").joinpath("dashboard_queries")
    comment, _, statement = folder.joinpath(f"{table}.sql").read_text(encoding="utf-8").partition("\n")
    return DashboardQuery(table, comment.removeprefix("-- "), statement.strip())


def usual_parameters(database: Database, query: DashboardQuery) -> dict[str, object] | None:
    """Parameters with which people would ask: the latest stored period, the keys that it holds most rows of.

    None if the table holds no rows.
    """
    table, period = identifier(query.table), identifier(contracts("reporting")[query.table].primary_key[0])
    latest = database.read(f"SELECT MAX({period}) FROM {table}").item()  # noqa: S608
    if latest is None:
        return None
    parameters: dict[str, object] = {"today": latest, "month": latest.replace(day=1)}
    if query.columns_chosen:
        names = [identifier(name) for name in query.columns_chosen]
        present = " AND ".join(f"{name} IS NOT NULL" for name in names)
        most_rows = database.read(
            f"SELECT {', '.join(names)}, COUNT(*) AS held FROM {table} "  # noqa: S608
            f"WHERE {present} GROUP BY {', '.join(names)} ORDER BY held DESC, {', '.join(names)} LIMIT 1"
        )
        parameters |= most_rows.drop("held").row(0, named=True) if most_rows.height else {}
    return parameters


def accesses(
    connection: MySQLConnectionAbstract, query: DashboardQuery, parameters: Mapping[str, object]
) -> list[Access]:
    """How the server would read the table, once for each time that the query names it."""
    plan = read_frame(connection, f"EXPLAIN FORMAT=TRADITIONAL {query.statement}", parameters)
    return [
        Access(str(row["type"]), row["key"])
        for row in plan.iter_rows(named=True)
        # Results of parts of the query stand in angle brackets.
        if row["table"] is not None and not str(row["table"]).startswith("<")
    ]
