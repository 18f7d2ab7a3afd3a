"""`genims audit restore`: what to do after the audit database was restored to an earlier point."""

import getpass
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.markup import escape

from genims_platform.audit.relay.leadership import LeaderExistsError
from genims_platform.audit.restore.replay import Problem, Progress, Replayed, Survey, replay, survey
from genims_platform.audit.restore.standing import Point, Standing
from genims_platform.audit.restore.void import Voided, VoidRefusedError, declare_void
from genims_platform.audit.sealer.errors import CheckpointDamagedError
from genims_platform.commands.console import (
    Exit,
    Json,
    UsageError,
    console,
    current_settings,
    errors,
    friendly_errors,
    print_json,
    progress_bar,
)

Result = TypeVar("Result")


def restore(
    replayed: Annotated[
        bool, typer.Option("--replay", help="Deliver what is lost again, under the numbers that it had.")
    ] = False,
    void: Annotated[
        bool, typer.Option("--void", help="Declare void what cannot be delivered again; its numbers name nothing then.")
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Why, for --void; it is recorded.")] = None,
    approval: Annotated[
        list[str] | None, typer.Option(metavar="PERSON", help="Who approves --void; give it twice, for two persons.")
    ] = None,
    as_json: Json = False,
) -> None:
    """After the audit database was restored to an earlier point: bring back what it lost since, or close the gap.

    A relay refuses to work on such a database, because numbers that were given out, and may be signed for, would get a
    second meaning. Without options this shows what is lost and what can be brought back, and changes nothing. --replay
    reads the lost batches from the journal of the relay (AUDIT_JOURNAL_DIR) and the queues of the sources, and writes
    each only if its hash is the one that was published; it can be ended at any time and goes on where it was. What
    cannot be brought back is declared void with --void, which two persons approve; its events come again under new
    numbers as far as the queues have them. Run it where the relay runs, and stop everything else that writes to the
    audit database (relays, sealers, scheduled jobs) until it is done.

    Exit code 0 if nothing is lost (any more), 1 if something is, 3 if --void is refused or a relay works, 4 if a server
    is not reachable, 5 if the replay met a batch that it cannot bring back, or the database went on differently.

    For example:

    genims audit restore

    genims audit restore --replay

    genims audit restore --void --reason "journal lost with its disk" --approval anna --approval ben
    """
    with friendly_errors():
        if replayed and void:
            raise UsageError("--replay and --void exclude each other; see what is possible without either")
        if not void and (reason or approval):
            raise UsageError("--reason and --approval belong to --void")
        if void and not (reason and reason.strip()):
            raise UsageError("--void needs a --reason, which is recorded, and --approval of two different persons")
        settings = current_settings()
        try:
            if void:
                _voided(
                    declare_void(settings, reason=reason or "", approvals=approval or (), operator=getpass.getuser()),
                    as_json,
                )
            elif replayed:
                _replayed(_with_bar("delivering again", lambda progress: replay(settings, progress)), as_json)
            else:
                _surveyed(_with_bar("comparing", lambda progress: survey(settings, progress)), as_json)
        except (VoidRefusedError, LeaderExistsError) as error:
            _leave("refused", error, Exit.REFUSED)
        except CheckpointDamagedError as error:
            _leave("halted, a person has to look", error, Exit.HALTED)


def _with_bar(what: str, work: Callable[[Progress], Result]) -> Result:
    with progress_bar() as bar:
        task = bar.add_task(what, total=None)
        return work(lambda done, total: bar.update(task, completed=done, total=total))


def _surveyed(found: Survey, as_json: bool) -> None:
    if as_json:
        print_json({**_heads(found.standing), **_plain(asdict(found)), "next": _advice(found)})
    else:
        _show_heads(found.standing)
        if found.standing.published is not None:
            _line(
                f"lost       {found.standing.lost_batches} batches with {found.standing.lost_numbers} numbers; the "
                f"journal has {found.journalled} of them"
            )
            _line(
                f"replay     {found.replayable} batches with {found.replayable_events} events as far as ticks and "
                "numbers of events tell; each is written only if its hash comes out"
            )
        for problem in found.problems:
            _show_problem(problem)
        _line(_advice(found))
    if found.standing.published is not None:
        raise typer.Exit(Exit.UNREACHABLE if any(problem.passing for problem in found.problems) else Exit.FINDINGS)


def _replayed(done: Replayed, as_json: bool) -> None:
    if as_json:
        print_json({**_heads(done.standing), **_plain(asdict(done))})
    else:
        _line(f"delivered {done.batches} batches with {done.events} events again, under their numbers")
        _show_heads(done.standing)
        if done.stopped_by is not None:
            _show_problem(done.stopped_by)
        if done.standing.published is None:
            _line("nothing is lost any more: start relays and sealers, then look with `genims audit verify`")
        else:
            what = "if what stands in the way cannot be mended" if done.stopped_by else "the journal has none of them"
            _line(f"{done.standing.lost_batches} batches are still lost; {what}: {_VOID}")
    if done.stopped_by is not None:
        raise typer.Exit(Exit.HALTED)
    if done.standing.published is not None:
        raise typer.Exit(Exit.FINDINGS)


def _voided(done: Voided, as_json: bool) -> None:
    if as_json:
        print_json({**_heads(done.standing), **_plain(asdict(done))})
        return
    _line(
        f"batch {done.batch_no} declares the numbers {done.first_sequence} to {done.last_sequence} void; recorded as "
        f"number {done.recorded_as}. Start the relays: what the queues still have of it comes again under new numbers"
    )


_VOID = "genims audit restore --void --reason WHY --approval PERSON --approval PERSON"


def _advice(found: Survey) -> str:
    if found.standing.published is None:
        return "nothing is lost: the database has all that journal and checkpoints know of"
    if any(problem.passing for problem in found.problems):
        return "start the server that is not reachable, then look again"
    if found.replayable:
        return "bring it back with: genims audit restore --replay"
    if found.problems:
        return f"if what stands in the way cannot be mended: {_VOID}"
    return f"the journal has none of it. Bring the one of the relay here (AUDIT_JOURNAL_DIR), or: {_VOID}"


def _heads(standing: Standing) -> dict[str, Any]:
    return {"lost_batches": standing.lost_batches, "lost_numbers": standing.lost_numbers}


def _show_heads(standing: Standing) -> None:
    head = standing.head
    database = Point(head.batch_no, head.last_sequence, head.batch_hash.hex(), head.recorded_at)
    for name, point in (("database", database), ("journal", standing.journal), ("checkpoint", standing.checkpoint)):
        where = (
            "none that counts"
            if point is None
            else f"batch {point.batch_no}, sequence {point.last_sequence}, {point.at:%Y-%m-%d %H:%M:%S} UTC, "
            f"hash {point.batch_hash[:16]}"
        )
        _line(f"{name:<10} {where}")


def _show_problem(problem: Problem) -> None:
    what = "not reachable" if problem.passing else "cannot"
    console.print(f"[red]{what:<10}[/] {escape(problem.reason)}", soft_wrap=True, highlight=False)


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """The record with bytes as hexadecimal."""
    return {
        name: _plain(value) if isinstance(value, dict) else value.hex() if isinstance(value, bytes) else value  # pyright: ignore[reportUnknownArgumentType]
        for name, value in record.items()
    }


def _line(text: str) -> None:
    console.print(text, soft_wrap=True, highlight=False, markup=False)


def _leave(what: str, error: Exception, code: Exit) -> NoReturn:
    errors.print(f"[red]{what}:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
    raise typer.Exit(code)
