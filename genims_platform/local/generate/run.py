"""Generates a plan's factory group and loads it into the 13 source databases."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module

import polars as pl
from rich.progress import Progress

from genims_platform.local.generate.dirt import spoil
from genims_platform.local.generate.fill import complete
from genims_platform.local.generate.load import Loader, prepare
from genims_platform.local.generate.plan import Plan
from genims_platform.local.generate.world import World, build_world
from genims_platform.settings import SOURCE_NAMES, Settings
from genims_platform.sources.catalogue import catalogue


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
        parts: Counter[str] = Counter()
        from types import SimpleNamespace
        from importlib.util import find_spec

        mod = f"genims_platform.local.generate.{name}"
        domain = (
            import_module(mod)
            if find_spec(mod) and name not in __import__("os").environ.get("SKIP", "").split(",")
            else SimpleNamespace(tables=lambda w, p: [])
        )
        for reference, partial in domain.tables(world, plan):
            part = parts[reference]
            parts[reference] += 1
            yield reference, spoil(reference, complete(reference, partial, world, part), plan, part)
        for table in catalogue()[name]:
            reference = f"{name}.{table}"
            if reference not in parts:
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
    with Loader(settings) as loader:
        for reference, frame in frames(build_world(plan), plan):
            loader.load(reference, frame)
            rows[reference] += len(frame)
            if progress and task is not None:
                progress.update(task, description=reference, completed=len(rows))
        loader.analyse()
    return GenerationReport(dict(rows), time.perf_counter() - started)
