"""`genims summary`: a first look at what the reporting tables hold."""

from rich.bar import Bar
from rich.table import Column, Table

from genims_platform.commands.console import console, current_settings, friendly_errors
from genims_platform.orchestration.resources import reporting_database, utc_now
from genims_platform.reporting.registry import reporting_tables
from genims_platform.reporting.summary import oee_by_factory, table_sizes


def summary() -> None:
    """Show the rows of every reporting table and the OEE of each factory over the last 30 days.

    Example: genims summary
    """
    with friendly_errors():
        database = reporting_database(current_settings())
        sizes = table_sizes(database, list(reporting_tables()))
        factories = oee_by_factory(database, utc_now().date())
    name = Column("table", min_width=max(map(len, reporting_tables())))
    rows = Table(name, "rows", "first day", "last day", "last load (UTC)", box=None, pad_edge=False)
    for size in sizes:
        loaded = f"{size.loaded_at:%Y-%m-%d %H:%M:%S}" if size.loaded_at else ""
        rows.add_row(size.table, f"{size.rows:,}", str(size.first or ""), str(size.last or ""), loaded)
    console.print(rows)
    chart = Table("factory", "OEE, last 30 days", "", box=None)
    for factory in factories:
        chart.add_row(factory.name, Bar(size=100, begin=0, end=factory.oee_pct, width=40), f"{factory.oee_pct:.1f} %")
    console.print(chart)
