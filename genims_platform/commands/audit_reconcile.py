"""`genims audit reconcile`: compare the audit trail with the queues of its sources."""

import getpass
from collections.abc import Sequence
from typing import Annotated
from uuid import uuid4

import typer
from rich.markup import escape

from genims_platform.audit.integrity import record_comparisons
from genims_platform.audit.reconcile.comparison import Comparison
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
from genims_platform.settings import SOURCE_NAMES

_SHOWN = 10


def reconcile(
    source: Annotated[
        list[str] | None,
        typer.Option("--source", metavar="NAME", help="Only this source; repeatable. Default: all 13."),
    ] = None,
    daily: Annotated[
        bool, typer.Option("--daily", help="Every UTC day that the queues still hold, by table, not the last hour.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare what the sources captured with what the audit trail has: counts, digests, and on a difference each event.

    Reads the queues as AUDIT_PG_RELAY_USER and the trail as MYSQL_AUDIT_WRITER_USER, and records each comparison. Also
    looks for numbers without an event and events that stand twice. Exit code 1 on a gap, 4 if a server does not answer.

    Example: genims audit reconcile --source crm --daily
    """
    for name in source or ():
        if name not in SOURCE_NAMES:
            with friendly_errors():
                raise UsageError(f"{name!r} is no source; sources are {', '.join(SOURCE_NAMES)}")
    done: list[Comparison] = []
    code = Exit.DONE
    recorded: int | None = None
    with friendly_errors():
        settings = current_settings()
        compare = reconcile_days if daily else reconcile_hour
        for name in dict.fromkeys(source or SOURCE_NAMES):
            try:
                done += compare(settings, name)
            except ReconciliationError as error:
                code = Exit.FINDINGS
                errors.print(f"[red]{name}:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
            except ConnectionError as error:
                code = Exit.UNREACHABLE
                errors.print(f"[red]{name}:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        if whole := reconcile_sequence(settings):
            done.append(whole)
            gaps = {f"{found.check_type} {found.name}": _says(found) for found in done if found.gap_found}
            rows = [found.row() for found in done]
            recorded = record_comparisons(settings, rows, gaps, operator=getpass.getuser(), run_id=uuid4().hex)
    if as_json:
        print_json({"comparisons": [_record(found) for found in done], "recorded_as": recorded})
    else:
        _show(done)
    if any(found.gap_found for found in done):
        code = Exit.FINDINGS
    if code:
        raise typer.Exit(code)


def _record(found: Comparison) -> dict[str, object]:
    return {name: str(value) if name.endswith("digest") else value for name, value in found.row().items()}


def _show(done: Sequence[Comparison]) -> None:
    for found in done:
        colour = "red" if found.gap_found else "yellow" if found.status == "NOT_AVAILABLE" else "green"
        ticks = "" if found.tick_from is None else f"ticks {found.tick_from} to {found.tick_to}"
        line = f"{found.check_type:<8} {found.name:<40} [{colour}]{found.status}[/] {ticks} {escape(_says(found))}"
        console.print(line.rstrip(), highlight=False, soft_wrap=True)
    gaps = sum(found.gap_found for found in done)
    console.print(f"{len(done)} comparisons, {gaps} of them with a gap", highlight=False)


def _says(found: Comparison) -> str:
    expected = "unknown" if found.expected is None else str(found.expected[0])
    words = [f"{found.actual[0]} events of {expected}"]
    words += [
        f"{what}: {', '.join(map(str, events[:_SHOWN]))}{' …' if len(events) > _SHOWN else ''}"
        for what in ("missing", "unexpected", "duplicate", "altered")
        if (events := getattr(found.difference, what))
    ]
    words += [f"{rule}: {number}" for rule, number in (found.broken or {}).items() if number]
    return "; ".join(words)
