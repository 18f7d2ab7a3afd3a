"""`genims audit seal` and `genims audit keys rotate`: signed checkpoints of the audit trail."""

from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import Annotated

import typer
from rich.markup import escape

from genims_platform.audit.sealer.checkpoint import Checkpoint
from genims_platform.audit.sealer.errors import CheckpointDamagedError, CheckpointExistsError, SealRefusedError
from genims_platform.audit.sealer.sealer import Sealer
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


def seal(
    once: Annotated[
        bool, typer.Option("--once", help="Make one checkpoint if anything happened (the default).")
    ] = False,
    loop: Annotated[
        bool, typer.Option("--loop", help="Make one every AUDIT_CHECKPOINT_SECONDS until stopped.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compute what was stored since the last checkpoint again and sign it; a wrong batch is never signed.

    The checkpoint goes to AUDIT_WORM_URI, then to AUDIT_WITNESS_URI, then into the trail. With --loop, SIGTERM and
    Ctrl-C end it with a last checkpoint. Exit code 4 if a server or a place cannot be reached, 5 if the database does
    not hold what its hashes say, or the places of checkpoints do not go together.

    Example: genims audit seal --loop
    """
    with friendly_errors():
        if once and loop:
            raise UsageError("--once and --loop exclude each other")
        settings = current_settings()
        with _needs_a_person(), closing(Sealer(settings)) as sealer:
            if loop:
                _loop(sealer, settings.audit_checkpoint_seconds, as_json)
            else:
                _print(sealer.seal_once(), as_json)


def rotate(as_json: Json = False) -> None:
    """Make a new signing key; the old one introduces it in a checkpoint that it signs, and is deleted.

    AUDIT_PUBLIC_KEYS_FILE gets the new public key: give it to whoever verifies. Exit codes as of `genims audit seal`.

    Example: genims audit keys rotate
    """
    with friendly_errors(), _needs_a_person(), closing(Sealer(current_settings())) as sealer:
        _print(sealer.rotate(), as_json)


def _loop(sealer: Sealer, seconds: float, as_json: bool) -> None:
    refused = False

    def report(event: Checkpoint | Exception) -> None:
        nonlocal refused
        refused = isinstance(event, SealRefusedError)
        if isinstance(event, Checkpoint):
            _print(event, as_json)
        else:
            what = "refused" if refused else "waiting"
            errors.print(f"[red]{what}:[/] {escape(str(event))}", highlight=False, soft_wrap=True)

    with stopped_by_signals() as stop:
        sealer.run(stop, every=seconds, report=report)
    if refused:
        raise typer.Exit(Exit.HALTED)


def _print(made: Checkpoint | None, as_json: bool) -> None:
    if as_json:
        said = made.statement if made else None
        print_json(
            {
                "checkpoint_no": said.checkpoint_no if said else None,
                "batch_no": said.batch_no if said else None,
                "last_sequence": said.last_sequence if said else None,
                "key_id": made.key_id if made else None,
                "next_key_id": made.next_key_id if made else None,
            }
        )
    elif made is None:
        console.print("nothing happened since the last checkpoint")
    else:
        said = made.statement
        covers = f"batch {said.batch_no}, audit_sequence {said.last_sequence}"
        line = f"checkpoint {said.checkpoint_no}: {covers}, key {made.key_id}"
        if said.new_key is not None:
            line += f"; the next one is signed with key {made.next_key_id}"
        console.print(line, highlight=False, soft_wrap=True)


@contextmanager
def _needs_a_person() -> Generator[None]:
    try:
        yield
    except (SealRefusedError, CheckpointDamagedError, CheckpointExistsError) as error:
        errors.print(f"[red]refused:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(Exit.HALTED) from None
