"""What all commands share: output, exit codes, and errors as one line instead of a traceback."""

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from enum import IntEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn

from genims_platform.audit.ledger.errors import HaltError
from genims_platform.local.process import LocalServerError
from genims_platform.mysql.contract import ContractError
from genims_platform.reporting.publish import NoSourceRowsError
from genims_platform.settings import Settings, SettingsError, load_settings
from genims_platform.sources.reader import SourceDriftError, SourceReadError

_SHOWN = 300

console = Console()
errors = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of text.")]


class UsageError(ValueError):
    """Options that cannot be meant; the message says which, why and what is possible."""


class Exit(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    FINDINGS = 1
    USAGE = 2
    REFUSED = 3
    UNREACHABLE = 4
    HALTED = 5
    INTERRUPTED = 130


@contextmanager
def friendly_errors() -> Generator[None]:
    """Turn errors that a person can mend into one line and an exit code."""
    try:
        yield
    except SettingsError as error:
        _fail("wrong settings", error, Exit.USAGE)
    except UsageError as error:
        _fail("cannot be done", error, Exit.USAGE)
    except (ConnectionError, LocalServerError) as error:  # servers of all kinds
        _fail("not reachable", error, Exit.UNREACHABLE)
    except HaltError as error:
        _fail("halted, a person has to look", error, Exit.HALTED)
    except (SourceDriftError, SourceReadError, NoSourceRowsError, ContractError) as error:
        _fail("cannot go on", error, Exit.FINDINGS)


def current_settings() -> Settings:
    """The settings, or exit code 2 with a line for each wrong variable."""
    with friendly_errors():
        return load_settings()


def progress_bar(*columns: ProgressColumn) -> Progress:
    """A progress bar, by default with counts and elapsed time; quiet where there is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *(columns or (MofNCompleteColumn(), TimeElapsedColumn())),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    )


def print_json(records: Sequence[Any] | Mapping[str, Any]) -> None:
    """Dataclass instances as a JSON array, or a mapping as an object, on standard output."""
    content = records if isinstance(records, Mapping) else [asdict(record) for record in records]
    console.print_json(json.dumps(content, default=str))


def shortened(text: str) -> str:
    """A text that is to fit into a few lines of a terminal."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"


def _fail(what: str, error: Exception, code: Exit) -> None:
    errors.print(f"[red]{what}:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
    raise typer.Exit(code)
