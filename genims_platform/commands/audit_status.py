"""`genims audit status`: whether the audit trail is written, and how far behind it is."""

from dataclasses import asdict

import typer
from rich.markup import escape
from rich.table import Column, Table

from genims_platform.audit.relay.overview import AuditOverview, SourceOverview, audit_overview
from genims_platform.audit.trail import TrailNotSetUpError
from genims_platform.commands.console import Exit, Json, console, current_settings, errors, friendly_errors, print_json


def status(as_json: Json = False) -> None:
    """Show head, sources, waiting events, latency, working relays and checkpoints of the audit trail.

    Exit code 1 if anything needs a look: a halted source, more than 10,000 events or any older than 60 s waiting, a
    p99 latency above 1 s, no relay, an old checkpoint; or if there is no trail yet. All times are UTC.

    Example: genims audit status --json
    """
    with friendly_errors():
        try:
            found = audit_overview(current_settings())
        except TrailNotSetUpError as error:
            errors.print(f"[red]no audit trail:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
            raise typer.Exit(Exit.FINDINGS) from None
    alerts = list(found.alerts())
    if as_json:
        head = {**asdict(found.head), "batch_hash": found.head.batch_hash.hex()}
        print_json({**asdict(found), "head": head, "alerts": alerts})
    else:
        _show(found)
        for alert in alerts:
            console.print(f"[red]alert:[/] {escape(alert)}", soft_wrap=True, highlight=False)
    if alerts:
        raise typer.Exit(Exit.FINDINGS)


def _show(found: AuditOverview) -> None:
    head = found.head
    console.print(
        f"head       batch {head.batch_no}, sequence {head.last_sequence}, at {head.recorded_at:%Y-%m-%d %H:%M:%S}",
        highlight=False,
    )
    console.print(f"relay      {_holder(found.leader, 'works')}, {_holder(found.standby, 'waits')}", highlight=False)
    signed = (
        "none" if found.checkpoint_at is None else f"batch {found.checkpoint_covers}, {found.checkpoint_at:%H:%M:%S}"
    )
    console.print(f"checkpoint {signed}", highlight=False)
    console.print(f"quarantine {found.quarantined} events", highlight=False)
    right = [Column(name, justify="right") for name in ("tick", "waiting", "oldest", "a minute", "p50", "p99")]
    table = Table("source", *right, "last batch", "recorded", box=None, pad_edge=False)
    for source in found.sources:
        table.add_row(*_cells(source))
    console.print(table)
    if found.not_open:
        console.print(f"not open: {', '.join(found.not_open)}", highlight=False, soft_wrap=True)


def _cells(source: SourceOverview) -> tuple[str, ...]:
    return (
        source.source,
        f"{source.tick}{'+' if source.unfinished else ''}",
        "?" if source.waiting is None else str(source.waiting),
        _duration(source.oldest_ms),
        str(source.per_minute),
        _duration(source.latency_p50_ms),
        _duration(source.latency_p99_ms),
        "" if source.last_batch_at is None else f"{source.last_batch_at:%Y-%m-%d %H:%M:%S}",
        source.status or "",
    )


def _duration(milliseconds: int | None) -> str:
    if milliseconds is None:
        return ""
    return f"{milliseconds} ms" if milliseconds < 10_000 else f"{milliseconds // 1000} s"


def _holder(connection: int | None, does: str) -> str:
    return f"none {does}" if connection is None else f"connection {connection} {does}"
