"""`genims audit who`: what one user did."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer
from rich.markup import escape

from genims_platform.audit.activity import Activity, activity
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
from genims_platform.commands.instants import moment

From = Annotated[
    datetime | None,
    typer.Option("--from", parser=moment, metavar="TIME", help="First instant; UTC unless it has a zone."),
]
To = Annotated[
    datetime | None,
    typer.Option("--to", parser=moment, metavar="TIME", help="End, not included; UTC unless it has a zone."),
]


def who(
    user: Annotated[str, typer.Argument(help="User as the applications name it.")],
    start: From = None,
    end: To = None,
    limit: Annotated[int, typer.Option(min=1, help="Only so many events, the newest.")] = 50,
    as_json: Json = False,
) -> None:
    """Show what an application user did: changes of rows, reported reads and exports, logins. Exit code 1 if nothing.

    The name is the one that the application claims; the login of the database session stands beside it.

    Example: genims audit who u.miller --from 2026-11-01 --to 2026-12-01
    """
    with friendly_errors():
        if start is not None and end is not None and start >= end:
            raise UsageError(f"--from {start} is not before --to {end}")
        found = activity(current_settings(), user, limit, start, end)
    if as_json:
        print_json({"events": [asdict(event) for event in found]})
    else:
        for event in found:
            console.print(_line(event), markup=False, highlight=False, soft_wrap=True)
        if len(found) == limit:
            errors.print(f"the newest {limit} events; --limit shows more", highlight=False)
    if not found:
        errors.print(f"the audit trail knows nothing of {escape(user)} in that time", highlight=False)
        raise typer.Exit(Exit.FINDINGS)


def _line(event: Activity) -> str:
    where = f"of {event.source}.{event.table} {event.key or ''}" if event.table else f"in {event.source}"
    what = f"{event.operation} {where}".rstrip()
    parts = [f"{event.happened_at} UTC  #{event.audit_sequence}  {what}"]
    if event.rows is not None and event.rows != 1:
        parts.append(f"{event.rows:,} rows")
    facts = {
        "role": event.user_role,
        "as": event.db_user,
        "with": event.application,
        "from": event.source_ip,
        "session": event.session,
    }
    parts += [f"{name} {value}" for name, value in facts.items() if value]
    if event.status != "OK":
        parts.append(event.status)
    return ", ".join(parts)
