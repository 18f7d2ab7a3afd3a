"""Options that choose hours and tables, and the answers to choices that make no sense."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Annotated

import typer

from genims_platform.commands.console import UsageError
from genims_platform.commands.instants import instant
from genims_platform.reporting.periods import Hours, midnight
from genims_platform.reporting.registry import reporting_tables
from genims_platform.rolling_window import window_start

_SUGGESTIONS = 3


From = Annotated[
    datetime | None,
    typer.Option("--from", parser=instant, metavar="DATE|HOUR", help="First day or hour; UTC unless it has a zone."),
]
To = Annotated[
    datetime | None,
    typer.Option(
        "--to",
        parser=instant,
        metavar="DATE|HOUR",
        help="End, not included: the first day or hour that is left out; UTC unless it has a zone. "
        "By default the end of the last closed hour.",
    ),
]
Tables = Annotated[
    list[str] | None,
    typer.Option("--table", metavar="TABLE", help="A reporting table; all by default. May be repeated."),
]


@dataclass(frozen=True)
class Allowed:
    """The hours that can be published at an instant: those of the rolling window that are over."""

    hours: Hours

    @classmethod
    def at(cls, now: datetime) -> "Allowed":
        """From the first hour of the window to the last full hour before `now` (naive UTC)."""
        return cls(Hours(midnight(window_start(now.date())), now.replace(minute=0, second=0, microsecond=0)))

    def check(self, hours: Hours) -> Hours:
        """The hours, if all of them can be published.

        Raises:
            UsageError: says which end is wrong and what is allowed.
        """
        start, end = self.hours.start, self.hours.end
        if hours.start < start:
            raise UsageError(f"--from {_shown(hours.start)} lies before the 12-month window; {self._sentence}")
        for option, given in (("--to", hours.end), ("--from", hours.start)):
            if given > end or (option == "--from" and given == end):
                raise UsageError(f"{option} {_shown(given)} lies after the last closed hour; {self._sentence}")
        if hours.start >= hours.end:
            raise UsageError(f"--from {_shown(hours.start)} is not before --to {_shown(hours.end)}")
        return hours

    @property
    def _sentence(self) -> str:
        return f"allowed is {_shown(self.hours.start)} to {_shown(self.hours.end)} UTC"


def chosen_tables(names: Sequence[str] | None) -> list[str]:
    """These tables in the order of the registry, each once; all if none is named.

    Raises:
        UsageError: an unknown name; says which known ones are like it.
    """
    known = list(reporting_tables())
    wrong = [name for name in names or () if name not in known]
    if wrong:
        raise UsageError("; ".join(_unknown(name, known) for name in wrong))
    return [name for name in known if name in names] if names else known


def _unknown(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=_SUGGESTIONS, cutoff=0.5)
    near = near or [table for table in known if name and name in table][:_SUGGESTIONS]
    hint = f"did you mean {' or '.join(near)}?" if near else "`genims status` lists the tables"
    return f"no such table: {name}; {hint}"


def _shown(hour: datetime) -> str:
    return f"{hour:%Y-%m-%d %H:%M}"
