"""Lines that SCADA observed, found by SQL: the second way to the rows of tables that hold a row a line and day."""

import polars as pl

from genims_platform.reporting.checks import Expected, sql
from genims_platform.reporting.periods import Window
from genims_platform.sources.reader import Sources

_MACHINE_DAYS = sql(
    "operational",
    """
    SELECT "timestamp"::date AS day, machine_id, min(line_id) AS scada_line_id
    FROM scada_machine_data
    WHERE data_quality <> 'bad' AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
    GROUP BY 1, 2
    """,
)
_MASTER_LINES = sql("master", "SELECT machine_id, line_id FROM machines")


def observed_lines(period_column: str) -> Expected:
    """Lines with a usable SCADA reading by day: the machine's line in the master data, else the reading's."""

    def expected(sources: Sources, window: Window) -> pl.DataFrame:
        machine_days, masters = _MACHINE_DAYS(sources, window), _MASTER_LINES(sources, window)
        line_of = dict(masters.select("machine_id", "line_id").iter_rows())
        keys = {(day, line_of.get(machine) or line) for day, machine, line in machine_days.iter_rows()}
        return pl.DataFrame(list(keys), schema=[period_column, "line_id"], orient="row")

    return expected
