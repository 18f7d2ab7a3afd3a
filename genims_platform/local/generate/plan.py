"""What to generate: size, span and seed, and the calendar that spreads facts over the span."""

import hashlib
import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
import polars as pl

from genims_platform.local.generate.volumes import FACT_ROWS, REFERENCE_BUSYNESS
from genims_platform.sources.catalogue import source_table

_WEEKDAY_WEIGHT = np.array([1.0, 1.05, 1.05, 1.02, 0.98, 0.55, 0.0])
"""Monday to Sunday: plants work Saturday's early shifts and rest on Sunday."""


class PlanError(ValueError):
    """A plan that cannot be carried out; the message says which argument and what it may be."""


@dataclass(frozen=True)
class Plan:
    """Size (`scale` 1 is about 2.4 M rows over 13 months), whole months of history, seed and last instant (UTC).

    Raises:
        PlanError: an argument is out of its range.
    """

    scale: float = 1.0
    months: int = 13
    seed: int = 7
    until: datetime = field(default_factory=lambda: datetime.now(UTC).replace(tzinfo=None, microsecond=0))

    def __post_init__(self) -> None:
        if not 0 < self.scale <= 100:
            raise PlanError(f"scale={self.scale}: give a factor above 0 and at most 100")
        if not 1 <= self.months <= 120:
            raise PlanError(f"months={self.months}: give 1 to 120 whole months")
        if self.seed < 0:
            raise PlanError(f"seed={self.seed}: give 0 or a positive integer")
        if self.until.tzinfo is not None:
            object.__setattr__(self, "until", self.until.astimezone(UTC).replace(tzinfo=None))

    @cached_property
    def start(self) -> datetime:
        """First instant: midnight of the first day of the month `months` before `until` (naive UTC)."""
        months = self.until.year * 12 + self.until.month - 1 - self.months
        return datetime(months // 12, months % 12 + 1, 1)  # noqa: DTZ001 - source timestamps are naive UTC

    @property
    def end(self) -> datetime:
        """Last instant: `until`."""
        return self.until

    @cached_property
    def days(self) -> pl.Series:
        """Every day of the span, as dates."""
        return pl.date_range(self.start.date(), self.end.date(), "1d", eager=True).alias("day")

    @cached_property
    def busyness(self) -> np.ndarray:
        """How busy each day is by season, weekday and the growth of the business; about 1 for a working day at `until`.

        Growth counts back from `until`, so that days which a longer history shares with a shorter one are as busy.
        """
        day_of_year = self.days.dt.ordinal_day().to_numpy()
        weekday = self.days.dt.weekday().to_numpy() - 1
        season = 1 + 0.14 * np.sin(2 * np.pi * (day_of_year - 80) / 365) + 0.05 * np.sin(4 * np.pi * day_of_year / 365)
        growth = 1.08 ** (-np.arange(len(self.days))[::-1] / 365)
        return season * growth * _WEEKDAY_WEIGHT[weekday]

    @cached_property
    def day_weights(self) -> np.ndarray:
        """Share of a year-round fact that falls on each day; adds up to 1."""
        total = self.busyness.sum()
        return self.busyness / total if total else np.full(len(self.days), 1 / len(self.days))

    def rng(self, name: str) -> np.random.Generator:
        """Random numbers of their own for everything named, so that the order of generation does not matter."""
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        return np.random.default_rng([self.seed, int.from_bytes(digest, "big")])

    def rows(self, reference: str) -> int:
        """Rows to generate for a table: facts by scale and busy days, everything else as in the catalogue."""
        if (rows := FACT_ROWS.get(reference)) is None:
            return source_table(reference).rows
        return max(2, math.ceil(rows * self.scale * float(self.busyness.sum()) / REFERENCE_BUSYNESS))

    def working_days(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """`count` days (datetime64[D], ascending) drawn with the weights of the calendar."""
        drawn = rng.choice(len(self.days), size=count, p=self.day_weights)
        drawn.sort()
        return self.days.to_numpy()[drawn].astype("datetime64[D]")

    def instants(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """`count` instants (datetime64[us], ascending, whole seconds) on working days, none after `until`."""
        seconds = rng.integers(0, 86_400, count).astype("timedelta64[s]")
        moments = self.working_days(rng, count).astype("datetime64[s]") + seconds
        latest = np.datetime64(self.end, "s")
        moments = np.where(moments > latest, latest - (moments - latest), moments)
        moments.sort()
        return moments.astype("datetime64[us]")

    def months_of_span(self) -> list[datetime]:
        """First instant of each calendar month the span touches."""
        return pl.datetime_range(self.start, self.end, "1mo", eager=True).to_list()


def identifiers(reference: str, count: int, start: int = 1) -> pl.Series:
    """Primary keys of a table in the one style all domains share (`mes.work_orders` → `WO-000001`), from `start` on."""
    table = source_table(reference)
    key = table.primary_key[0]
    numbers = pl.int_range(start, start + count, eager=True, dtype=pl.Int64)
    if table.polars_schema[key] != pl.String():
        return numbers.alias(key)
    return numbered(prefix(reference), numbers).alias(key)


def numbered(prefix_: str, numbers: pl.Series, width: int = 6) -> pl.Series:
    """`<prefix>-<number>` with leading zeros."""
    return pl.select(pl.lit(f"{prefix_}-") + pl.lit(numbers).cast(pl.String).str.zfill(width)).to_series()


_PREFIXES = {
    "master.factories": "FAC",
    "master.production_lines": "LINE",
    "master.machines": "MCH",
    "master.products": "PROD",
    "master.customers": "CUST",
    "master.employees": "EMP",
    "hcm.employees": "EMP",
    "master.sensors": "SENS",
    "master.shifts": "SHIFT",
    "mes.work_orders": "WO",
    "cmms.work_orders": "WO",
    "erp.materials": "MAT",
    "erp.suppliers": "SUP",
    "erp.production_orders": "PROD",
    "wms.warehouses": "WH",
    "cmms.maintenance_technicians": "TECH",
    "service.field_technicians": "TECH",
    "financial.cost_centers": "CC",
    "cmms.maintenance_cost_centers": "CC",
    "wms.cycle_count_tasks": "CC",
    "crm.accounts": "ACC",
    "financial.chart_of_accounts": "ACC",
    "qms.ncr_headers": "NCR",
    "crm.leads": "LEAD",
    "crm.sales_reps": "REP",
    "service.service_tickets": "TKT",
}


def prefix(reference: str) -> str:
    """Prefix of a table's primary keys: the customary one, else made from the key column's words."""
    if reference in _PREFIXES:
        return _PREFIXES[reference]
    key = source_table(reference).primary_key[0]
    words = re.sub(r"_(id|number|code)$", "", key).split("_")
    return words[0][:4].upper() if len(words) == 1 else "".join(word[:2] for word in words).upper()
