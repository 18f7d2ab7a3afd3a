"""Declaration of a reporting table: a pure model with what it reads, how far back it reaches and what must hold.

A model is a function of a `Window` and LazyFrames; annotations say which source rows each LazyFrame holds:

    @reporting_table(group="performance", recompute=1, horizon=35, checks=Checks(...))
    def quality_summary_daily(
        window: Window, defects: Annotated[pl.LazyFrame, Read("mes.defects", Between("detected_date"))]
    ) -> pl.LazyFrame:
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

import polars as pl

from genims_platform.mysql.contract import TableContract, contracts
from genims_platform.reporting.checks import Checks, Expected
from genims_platform.reporting.inputs import REPORTING, input_schema
from genims_platform.reporting.periods import DAY, Period, Window, midnight
from genims_platform.sources.reader import EmptySources, Read, Sources
from genims_platform.sources.summary import Summary

Group = Literal["performance", "sales", "financial", "inventory"]
Model = Callable[..., pl.LazyFrame]
DAYS_OF: Mapping[Period, int] = {"day": 1, "month": 31, "snapshot": 0}


@dataclass(frozen=True)
class ReportingTable:
    """One table of the reporting database and the model that computes it.

    A row belongs to a `period`. `recompute` is how many periods before the refreshed ones every run repeats; `horizon`
    for how many periods after its end one can still change through late facts; `rolling_days` over how many days up to
    a period's last its measures reach; `touched` finds days whose rows are linked to the refreshed ones by a key, such
    as an order's day of completion.
    """

    name: str
    group: Group
    period: Period
    model: Model
    reads: Mapping[str, Read | Summary]
    recompute: int
    horizon: int
    rolling_days: int
    touched: Expected | None
    checks: Checks

    @property
    def description(self) -> str:
        """The model's docstring."""
        return inspect.getdoc(self.model) or ""

    @cached_property
    def contract(self) -> TableContract:
        """Columns, types and keys as the reporting schema declares them."""
        return contracts("reporting")[self.name]

    @property
    def period_column(self) -> str:
        """The date column that leads the primary key."""
        return self.contract.primary_key[0]

    @property
    def source_tables(self) -> tuple[str, ...]:
        """The source tables read, for example `mes.work_orders`, each once."""
        reads = (read for read in self.reads.values() if read.database != REPORTING)
        return tuple(dict.fromkeys(table for read in reads for table in read.tables))

    @property
    def kept_tables(self) -> tuple[str, ...]:
        """The reporting tables whose stored rows are read, because only they know the past."""
        reads = (read for read in self.reads.values() if read.database == REPORTING)
        return tuple(dict.fromkeys(read.table.partition(".")[2] for read in reads))

    @property
    def horizon_days(self) -> int:
        """The longest time in days after which a late fact can still change a row without a backfill."""
        return self.horizon * DAYS_OF[self.period]

    def compute(self, sources: Sources, window: Window) -> pl.LazyFrame:
        """The rows of the window's periods, not yet cast to the contract."""
        # Cached: a model may use a source in several places, and each would be a query of its own.
        frames = {name: sources.scan(read, window.span).cache() for name, read in self.reads.items()}
        rows = self.model(window=window, **frames)
        return rows.filter(pl.col(self.period_column).is_between(window.first, window.end, closed="left"))

    def columns_read(self) -> Mapping[str, frozenset[str]]:
        """Source table → columns that the model uses, found by running it over empty sources."""
        sources = EmptySources(input_schema)
        day = date(2000, 1, 1)  # any day: there are no rows
        # The streaming engine would skip the other side of a join with a side that is empty.
        self.compute(sources, Window(day, day + DAY, midnight(day + DAY))).collect(engine="in-memory")
        return {table: columns for table, columns in sources.columns_read.items() if table in self.source_tables}


def reporting_table(
    *,
    group: Group,
    recompute: int,
    horizon: int,
    checks: Checks,
    period: Period = "day",
    rolling_days: int = 1,
    touched: Expected | None = None,
) -> Callable[[Model], ReportingTable]:
    """Turn a model function into the reporting table of the same name; arguments as in `ReportingTable`."""

    def declare(model: Model) -> ReportingTable:
        return ReportingTable(
            model.__name__, group, period, model, _reads(model), recompute, horizon, rolling_days, touched, checks
        )

    return declare


def _reads(model: Model) -> dict[str, Read | Summary]:
    hints = get_type_hints(model, include_extras=True).items()
    claims = {name: get_args(hint)[1:] for name, hint in hints if get_origin(hint) is Annotated}
    return {name: claim for name, (claim, *_) in claims.items() if isinstance(claim, Read | Summary)}
