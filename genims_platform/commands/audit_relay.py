"""`genims audit relay`: deliver events to the audit database."""

import os
import threading
from dataclasses import asdict
from typing import Annotated, NoReturn

import typer
from rich.markup import escape

from genims_platform.audit.relay.figures import RelayResult, Report
from genims_platform.audit.relay.service import LeaderExistsError, NotBegunError, Relay
from genims_platform.audit.trail import TrailNotSetUpError, delivered
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
from genims_platform.commands.signals import stopped_by_signals
from genims_platform.settings import SOURCE_NAMES

STOP_SECONDS = 4.5


def relay(
    source: Annotated[
        list[str] | None,
        typer.Option("--source", metavar="NAME", help="Only this source; repeatable. Default: all 13."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End when nothing is left to deliver.")] = False,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="End after this time; that of a standby begins when it takes over.")
    ] = None,
    standby: Annotated[
        bool, typer.Option("--standby", help="Wait while another relay works; take over when it ends or fails.")
    ] = False,
    without_lock: Annotated[bool, typer.Option("--without-lock", hidden=True)] = False,
    as_json: Json = False,
) -> None:
    """Deliver the events of the sources to the audit database until stopped, and print a line a second.

    SIGTERM and Ctrl-C end it after the transaction that is being written. What fails for a while is tried again for
    ever. Exit code 1 if a source waits for a person, 3 if another relay works already, 4 if a server is not reachable
    (at the start; with --once also at the end), 5 if the audit database is not as it must be.

    For example:

    genims audit relay

    genims audit relay --once --source crm
    """
    with friendly_errors():
        for name in source or ():
            if name not in SOURCE_NAMES:
                raise UsageError(f"{name!r} is no source; sources are {', '.join(SOURCE_NAMES)}")
        settings = current_settings()
        service = Relay(
            settings,
            sources=tuple(dict.fromkeys(source or SOURCE_NAMES)),
            standby=standby,
            exclusive=not without_lock,
            report=_print_json if as_json else _print,
        )
        try:
            delivered(settings)
            ended = threading.Event()
            with stopped_by_signals() as stop:
                threading.Thread(target=_end_in_time, args=(stop, ended), daemon=True).start()
                result = service.run(stop, seconds=seconds, once=once)
                ended.set()
        except LeaderExistsError as error:
            _leave("refused", error, Exit.REFUSED)
        except (NotBegunError, TrailNotSetUpError) as error:
            _leave("cannot begin", error, Exit.FINDINGS)
    if as_json:
        print_json(asdict(result))
    _end(result, once=once)


def _end_in_time(stop: threading.Event, ended: threading.Event) -> None:
    """End the process if it hangs in a server's answer after it was told to stop; that server rolls back."""
    stop.wait()
    if not ended.wait(STOP_SECONDS):
        os._exit(Exit.DONE)


def _print(report: Report) -> None:
    head = f"batch {report.head.batch_no}, sequence {report.head.last_sequence}" if report.head else "not read yet"
    measured = report.latency
    latency = "" if measured.p99_ms is None else f"  p50 {measured.p50_ms} ms  p99 {measured.p99_ms} ms"
    line = f"{report.at:%H:%M:%S}  {report.rate:7.0f} events/s{latency}  waiting {report.depth}  head {head}"
    if not report.working:
        line += "  (standby)"
    if report.lost_races:
        line += f"  lost races {report.lost_races}"
    console.print(line, highlight=False, soft_wrap=True)
    if report.problem:
        errors.print(f"[yellow]waiting:[/] {escape(report.problem)}", soft_wrap=True, highlight=False)
    for name, state in report.sources.items():
        if state.halted:
            errors.print(f"[red]{name} halted:[/] {escape(state.halted)}", soft_wrap=True, highlight=False)
        elif state.problem:
            errors.print(f"[yellow]{name} waiting:[/] {escape(state.problem)}", soft_wrap=True, highlight=False)


def _print_json(report: Report) -> None:
    print_json(asdict(report))


def _end(result: RelayResult, *, once: bool) -> None:
    if result.halted:
        raise typer.Exit(Exit.FINDINGS)
    if once and result.unreachable:
        raise typer.Exit(Exit.UNREACHABLE)


def _leave(what: str, error: Exception, code: Exit) -> NoReturn:
    errors.print(f"[red]{what}:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
    raise typer.Exit(code)
