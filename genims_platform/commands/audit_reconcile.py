"""`genims audit reconcile`: compare the audit trail with the queues and tables of its sources."""

import getpass
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated
from uuid import uuid4

import typer
from rich.markup import escape

from genims_platform.audit.integrity import record_comparisons
from genims_platform.audit.ledger.errors import HaltError
from genims_platform.audit.reconcile.baseline import reconcile_baseline
from genims_platform.audit.reconcile.comparison import Comparison
from genims_platform.audit.reconcile.deep import SAMPLE, reconcile_deep
from genims_platform.audit.reconcile.repair import Repaired, repair
from genims_platform.audit.reconcile.source import (
    ReconciliationError,
    reconcile_days,
    reconcile_hour,
    reconcile_sequence,
)
from genims_platform.commands.console import (
    Exit,
    Json,
    UsageError,
    console,
    current_settings,
    errors,
    friendly_errors,
    print_json,
)
from genims_platform.settings import SOURCE_NAMES, Settings

_COLOURS = {"OK": "green", "NOT_AVAILABLE": "yellow", "SUSPENDED": "yellow"}
_Compare = Callable[[str], Sequence[Comparison]]


def reconcile(
    source: Annotated[
        list[str] | None,
        typer.Option("--source", metavar="NAME", help="Only this source; repeatable. Default: all 13."),
    ] = None,
    daily: Annotated[
        bool, typer.Option("--daily", help="Every UTC day that the queues still hold, by table, not the last hour.")
    ] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Every stored value of some events, decrypted, against the queue.")
    ] = False,
    sample: Annotated[
        int | None, typer.Option("--sample", min=1, help=f"With --deep: so many events at random. Default: {SAMPLE}.")
    ] = None,
    day: Annotated[
        datetime | None,
        typer.Option("--day", formats=["%Y-%m-%d"], help="With --deep: all events recorded on this UTC day."),
    ] = None,
    baseline: Annotated[
        bool,
        typer.Option(
            "--baseline", help="The rows of the audited tables against the last baseline and what came since."
        ),
    ] = False,
    repair_gaps: Annotated[
        bool, typer.Option("--repair", help="As --daily, and record after all what the trail lacks.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare what the sources captured with what the audit trail has, and record each comparison.

    By default counts and digests of the last hour, event by event where they differ. --deep looks into the values: only
    that finds a value that was edited together with all hashes. --baseline looks at the tables themselves: only that
    finds changes that no trigger saw. A table that differs goes on differing until a new baseline is taken.

    --repair records events that the trail lacks, while the queues still hold them, as REPROCESSED events with all their
    rows, each once; nothing is edited, and the numbers that are missing stay missing (`genims audit verify --accept`).

    Reads the sources as AUDIT_PG_RELAY_USER and the trail as MYSQL_AUDIT_WRITER_USER; --deep and --repair need the keys
    of persons too (AUDIT_KEYSTORE_URI, AUDIT_KEK). Values are compared, never printed. Exit code 1 on a gap, 4 if a
    server does not answer.

    Example: genims audit reconcile --source crm --deep --sample 5000
    """
    with friendly_errors():
        for name in source or ():
            if name not in SOURCE_NAMES:
                raise UsageError(f"{name!r} is no source; sources are {', '.join(SOURCE_NAMES)}")
        if (daily or repair_gaps) + deep + baseline > 1:
            raise UsageError("--daily and --repair, --deep, and --baseline are different comparisons: one at a time")
        if (sample is not None or day is not None) and not deep:
            raise UsageError("--sample and --day say which events --deep looks at; add --deep")
        if sample is not None and day is not None:
            raise UsageError("--day looks at all events of a day, so there is nothing to --sample")
    settings = current_settings()

    def compare_deep(name: str) -> Sequence[Comparison]:
        found = reconcile_deep(settings, name, sample=sample or SAMPLE, day=day.date() if day else None)
        return [] if found is None else [found]

    def compare(name: str) -> Sequence[Comparison]:
        if deep:
            return compare_deep(name)
        if baseline:
            return reconcile_baseline(settings, name)
        return reconcile_days(settings, name) if daily or repair_gaps else reconcile_hour(settings, name)

    code, done = _each(source or SOURCE_NAMES, compare)
    repaired: list[Repaired] = []
    recorded: int | None = None
    with friendly_errors():
        if not (deep or baseline) and (whole := reconcile_sequence(settings)):
            done.append(whole)
        if done:
            recorded = _record(settings, done)
        if repair_gaps and any(found.difference.missing for found in done):
            repaired = list(repair(settings, done, operator=getpass.getuser()))
            again = dict.fromkeys(event.event.source for event in repaired)
            code, after = _each(tuple(again), compare)
            done = [found for found in done if found.source not in again] + after
            recorded = _record(settings, after) if after else recorded
    if as_json:
        rows = [
            {name: str(value) if name.endswith("digest") else value for name, value in found.row().items()}
            for found in done
        ]
        print_json({"comparisons": rows, "repaired": [asdict(event) for event in repaired], "recorded_as": recorded})
    else:
        _show(done, repaired)
    if any(found.gap_found for found in done) or any(event.number is None for event in repaired):
        code = Exit.FINDINGS
    if code:
        raise typer.Exit(code)


def _each(sources: Sequence[str], compare: _Compare) -> tuple[Exit, list[Comparison]]:
    """The comparisons of all sources; one that cannot be compared does not keep the others from it."""
    code = Exit.DONE
    done: list[Comparison] = []
    with friendly_errors():
        for name in dict.fromkeys(sources):
            try:
                done += compare(name)
            except (ReconciliationError, ConnectionError) as error:
                code = Exit.FINDINGS if isinstance(error, ReconciliationError) else Exit.UNREACHABLE
                errors.print(f"[red]{name}:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
    return code, done


def _record(settings: Settings, done: Sequence[Comparison]) -> int | None:
    gaps = {f"{found.check_type} {found.name}": found.sentence for found in done if found.gap_found}
    rows = [found.row() for found in done]
    try:
        return record_comparisons(settings, rows, gaps, operator=getpass.getuser(), run_id=uuid4().hex)
    except HaltError as error:  # the verdict counts, recorded or not
        errors.print(f"[red]not recorded:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        return None


def _show(done: Sequence[Comparison], repaired: Sequence[Repaired]) -> None:
    for event in repaired:
        became = (
            f"recorded as number {event.number}"
            if event.number
            else f"[red]not recorded:[/] {escape(event.reason or '')}"
        )
        console.print(f"{event.event.source} event {event.event.event_id} {became}", highlight=False, soft_wrap=True)
    for found in done:
        colour = _COLOURS.get(found.status, "red")
        ticks = "" if found.tick_from is None else f"ticks {found.tick_from} to {found.tick_to}"
        line = f"{found.check_type:<8} {found.name:<40} [{colour}]{found.status}[/] {ticks} {escape(found.sentence)}"
        console.print(line.rstrip(), highlight=False, soft_wrap=True)
    gaps = sum(found.gap_found for found in done)
    console.print(f"{len(done)} comparisons, {gaps} of them with a gap", highlight=False)
