"""Windows in which capture of a table was suspended with leave; the source keeps them for longer than its queue."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from psycopg2 import extensions

from genims_platform.audit.capture.objects import Definitions

KEPT = timedelta(days=40)
PREFIX = "suspensions:"


@dataclass(frozen=True)
class Window:
    """From when until when (None: it is still suspended) whose changes were not captured, and who allowed it.

    Instants are UTC; `rows` and `digest` are those of the table when the window began.
    """

    table: str
    since: datetime
    until: datetime | None
    by: str
    reason: str
    approval: str
    rows: int
    digest: str

    def overlaps(self, start: datetime, end: datetime) -> bool:
        """Whether anything that happened after `start` and until `end` may be missing."""
        return self.since <= end and (self.until is None or self.until > start)


def state_key(schema: str, table: str) -> str:
    """Where the windows of a table stand in `audit.state`."""
    return f"{PREFIX}{schema}.{table}"


def read_windows(cursor: extensions.cursor) -> Mapping[str, Sequence[Window]]:
    """Table → its windows, oldest first; none if the source is not captured."""
    cursor.execute("SELECT to_regclass('audit.state') IS NOT NULL")
    if cursor.fetchone() != (True,):
        return {}
    cursor.execute("SELECT value FROM audit.state WHERE key LIKE %s ORDER BY key", (f"{PREFIX}%",))
    found = [parse_windows(value) for (value,) in cursor.fetchall()]
    return {windows[0].table: windows for windows in found if windows}


def suspended_tables(stored: Definitions) -> frozenset[str]:
    """The tables that are suspended now, from what `definitions` read."""
    values = (value for (kind, key), value in stored.items() if kind == "state" and key.startswith(PREFIX))
    return frozenset(window.table for value in values for window in parse_windows(value) if window.until is None)


def parse_windows(value: str) -> list[Window]:
    """The windows that `format_windows` made a text of."""
    return [
        Window(
            window["table"],
            datetime.fromisoformat(window["since"]),
            None if window["until"] is None else datetime.fromisoformat(window["until"]),
            window["by"],
            window["reason"],
            window["approval"],
            window["rows"],
            window["digest"],
        )
        for window in json.loads(value)
    ]


def format_windows(windows: Sequence[Window], now: datetime) -> str:
    """The text of these windows, without those that ended long ago."""
    kept = [asdict(window) for window in windows if window.until is None or window.until > now - KEPT]
    return json.dumps(kept, sort_keys=True, default=datetime.isoformat)
