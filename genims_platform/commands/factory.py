"""`genims generate` and `genims simulate`: a synthetic factory group in the source databases."""

import signal
import threading
from datetime import datetime
from typing import Annotated

import typer

from genims_platform.commands.console import Exit, console, current_settings, errors, friendly_errors, progress_bar
from genims_platform.local.generate.load import DataPresentError
from genims_platform.local.generate.plan import Plan, PlanError
from genims_platform.local.generate.run import generate as generate_sources
from genims_platform.local.simulate import NothingToSimulateError
from genims_platform.local.simulate import simulate as simulate_changes
from genims_platform.orchestration.resources import utc_now


def generate(
    scale: Annotated[float, typer.Option(help="1 is about 2.4 million rows over 13 months.")] = 1.0,
    months: Annotated[int, typer.Option(help="Whole months of history before the month of --until.")] = 13,
    seed: Annotated[int, typer.Option(help="Same seed, same data.")] = 7,
    until: Annotated[datetime | None, typer.Option(help="Last instant, UTC; now by default.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Delete what the source databases hold.")] = False,
    if_empty: Annotated[bool, typer.Option("--if-empty", help="Do nothing if they hold data already.")] = False,
) -> None:
    """Fill local source databases with a coherent factory group, a stated share of it dirty.

    Example: genims generate --scale 0.05 --seed 7
    """
    try:
        plan = Plan(scale, months, seed, until or utc_now())
    except PlanError as error:
        errors.print(f"[red]{error}[/]")
        raise typer.Exit(Exit.USAGE) from None
    try:
        with friendly_errors(), progress_bar() as bar:
            report = generate_sources(current_settings(), plan, replace=replace, progress=bar)
    except DataPresentError as error:
        if if_empty:
            console.print("The source databases hold data already; they are left as they are.")
            return
        errors.print(f"[red]{error}[/]")
        raise typer.Exit(Exit.USAGE) from None
    console.print(f"{report.total_rows:,} rows in {len(report.rows)} tables, {report.seconds:.1f} s")


def simulate(
    rate: Annotated[float, typer.Option(help="Statements a second.")] = 5.0,
    seconds: Annotated[float | None, typer.Option(help="Stop after this time; runs until Ctrl-C by default.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random changes.")] = 7,
) -> None:
    """Keep writing plausible inserts, updates and deletes to the source databases.

    Example: genims simulate --rate 5 --seconds 60
    """
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda _number, _frame: stop.set())
    try:
        with friendly_errors():
            report = simulate_changes(current_settings(), rate=rate, seconds=seconds, seed=seed, stop=stop.is_set)
    except NothingToSimulateError as error:
        errors.print(f"[red]{error}[/]")
        raise typer.Exit(Exit.USAGE) from None
    console.print(f"{report.statements:,} statements in {report.transactions:,} transactions, {report.seconds:.1f} s")
    for (kind, table), count in sorted(report.counts.items()):
        console.print(f"  {kind:<7} {table:<40} {count:>8,}")
