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
from genims_platform.reporting.periods import DAY, Window, midnight
from genims_platform.sources.reader import EmptySources, Read, Sources

Group = Literal["performance", "sales", "financial", "inventory"]
Model = Callable[..., pl.LazyFrame]


@dataclass(frozen=True)
class ReportingTable:
    """One table of the reporting database and the model that computes it.

    `recompute` is how many days before the refreshed ones every run repeats; `horizon` for how many days after its end
    a day can still change through late facts; `rolling_days` over how many days up to a day its measures reach;
    `touched` finds days whose rows are linked to the refreshed ones by a key, such as an order's day of completion.
    """

    name: str
    group: Group
    model: Model
    reads: Mapping[str, Read]
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
        return tuple(dict.fromkeys(read.table for read in self.reads.values()))

    def compute(self, sources: Sources, window: Window) -> pl.LazyFrame:
        """The rows of the window's days, not yet cast to the contract."""
        frames = {name: sources.scan(read, window.span) for name, read in self.reads.items()}
        rows = self.model(window=window, **frames)
        return rows.filter(pl.col(self.period_column).is_between(window.first, window.end, closed="left"))

    def columns_read(self) -> Mapping[str, frozenset[str]]:
        """Source table → columns that the model uses, found by running it over empty sources."""
        sources = EmptySources()
        day = date(2000, 1, 1)  # any day: there are no rows
        self.compute(sources, Window(day, day + DAY, midnight(day + DAY))).collect()
        return sources.columns_read


def reporting_table(
    *,
    group: Group,
    recompute: int,
    horizon: int,
    checks: Checks,
    rolling_days: int = 1,
    touched: Expected | None = None,
) -> Callable[[Model], ReportingTable]:
    """Turn a model function into the reporting table of the same name; arguments as in `ReportingTable`."""

    def declare(model: Model) -> ReportingTable:
        return ReportingTable(
            model.__name__, group, model, _reads(model), recompute, horizon, rolling_days, touched, checks
        )

    return declare


def _reads(model: Model) -> dict[str, Read]:
    hints = get_type_hints(model, include_extras=True).items()
    claims = {name: get_args(hint)[1:] for name, hint in hints if get_origin(hint) is Annotated}
    return {name: claim for name, (claim, *_) in claims.items() if isinstance(claim, Read)}
