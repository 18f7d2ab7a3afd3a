"""Generates a plan's factory group and loads it into the 13 source databases."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import polars as pl
from rich.progress import Progress

from genims_platform.local.generate import (
    cmms,
    crm,
    erp,
    financial,
    hcm,
    master,
    mes,
    operational,
    qms,
    service,
    supplier,
    tms,
    wms,
)
from genims_platform.local.generate.dirt import spoil
from genims_platform.local.generate.fill import complete
from genims_platform.local.generate.load import Loader, indexes_rebuilt, prepare
from genims_platform.local.generate.plan import Plan
from genims_platform.local.generate.world import World, build_world
from genims_platform.settings import SOURCE_NAMES, Settings
from genims_platform.sources.catalogue import catalogue


class _Domain(Protocol):
    """A module that makes the tables of one database."""

    def tables(self, world: World, plan: Plan) -> Iterator[tuple[str, pl.DataFrame]]:
        """Partial frames; a big table may come in several."""
        ...


_DOMAINS: Mapping[str, _Domain] = {
    "master": master,
    "operational": operational,
    "mes": mes,
    "erp": erp,
    "financial": financial,
    "wms": wms,
    "tms": tms,
    "cmms": cmms,
    "crm": crm,
    "service": service,
    "hcm": hcm,
    "supplier": supplier,
    "qms": qms,
}


@dataclass(frozen=True)
class GenerationReport:
    """Rows written to each table (`mes.work_orders` → rows) and the seconds it took."""

    rows: Mapping[str, int]
    seconds: float

    @property
    def total_rows(self) -> int:
        """Rows written in all."""
        return sum(self.rows.values())


def frames(world: World, plan: Plan) -> Iterator[tuple[str, pl.DataFrame]]:
    """Every table's rows, complete and with their share of dirt; a big table comes in several frames."""
    for name in SOURCE_NAMES:
        done: Counter[str] = Counter()
        for reference, partial in _DOMAINS[name].tables(world, plan):
            frame = complete(reference, partial, world, done[reference])
            yield reference, spoil(reference, frame, plan, done[reference])
            done[reference] += len(frame)
        for table in catalogue()[name]:
            reference = f"{name}.{table}"
            if reference not in done:
                yield reference, spoil(reference, complete(reference, pl.DataFrame(), world), plan)


def generate(
    settings: Settings, plan: Plan, *, replace: bool = False, progress: Progress | None = None
) -> GenerationReport:
    """Write the plan's data into all 13 source databases; `replace` permits to delete what they hold.

    Raises:
        DataPresentError: they hold data and `replace` is false.
        SourceUnavailableError: a server cannot be reached.
    """
    started = time.perf_counter()
    prepare(settings, replace=replace)
    rows: Counter[str] = Counter()
    task = progress.add_task("Generating", total=sum(map(len, catalogue().values()))) if progress else None
    with indexes_rebuilt(settings), Loader(settings) as loader:
        for reference, frame in frames(build_world(plan), plan):
            loader.load(reference, frame)
            rows[reference] += len(frame)
            if progress and task is not None:
                progress.update(task, description=reference, completed=len(rows))
    return GenerationReport(dict(rows), time.perf_counter() - started)
