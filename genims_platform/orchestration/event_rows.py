"""Events of Dagster as rows for COPY, equal to those that dagster-postgres inserts with a parameter for each value.

The materialisations of a range run differ from hour to hour in partition and instant only, so what they share is
serialised once and the two are filled in.
"""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from dagster import EventLogEntry
from dagster._core.events import StepMaterializationData
from dagster._serdes import serialize_value
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

Row = Mapping[str, Any]

# Stand for the two while the rest is serialised; no name, key or tag of an event reads like this.
_PARTITION, _INSTANT = "\0partition", "\0instant"


def event_rows(events: Iterable[EventLogEntry], to_row: Callable[[EventLogEntry], Row]) -> Iterator[Row]:
    """A row of `event_logs` for each event; `to_row` is the storage's own and makes the first of equal ones."""
    shared: EventLogEntry | None = None
    row: Row = {}
    before = between = after = ""
    for event in events:
        hourless = _without_hour(event)
        if hourless is None:
            yield to_row(event)
            continue
        if hourless != shared:
            shared, row = hourless, to_row(event)
            before, _, rest = serialize_value(hourless).partition(json.dumps(_PARTITION))
            between, _, after = rest.partition(json.dumps(_INSTANT))
        partition = event.get_dagster_event().partition
        text = f"{before}{json.dumps(partition)}{between}{json.dumps(event.timestamp)}{after}"
        yield {**row, "event": text, "partition": partition, "timestamp": utc(event)}


def utc(event: EventLogEntry) -> datetime:
    """When the event happened, as Dagster's tables store it: naive UTC."""
    return datetime.fromtimestamp(event.timestamp, UTC).replace(tzinfo=None)


def copy_rows(cursor: Cursor, table: str, rows: Sequence[Row]) -> None:
    """Insert rows that all have the columns of the first one."""
    if not rows:
        return
    columns = sql.SQL(", ").join(map(sql.Identifier, rows[0]))
    lines = "".join("\t".join(map(_field, row.values())) + "\n" for row in rows)
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), columns)
    cursor.copy_expert(statement, io.StringIO(lines))


def insert_row(cursor: Cursor, table: str, row: Row) -> int:
    """Insert one row and return its id."""
    columns = sql.SQL(", ").join(map(sql.Identifier, row))
    values = sql.SQL(", ").join(map(sql.Placeholder, row))
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(sql.Identifier(table), columns, values)
    cursor.execute(statement, row)
    (identity,) = cursor.fetchone() or (0,)
    return identity


def _without_hour(event: EventLogEntry) -> EventLogEntry | None:
    """A materialisation without partition and instant; None for an event that says more about its hour than that."""
    dagster_event = event.dagster_event
    data = dagster_event.event_specific_data if dagster_event else None
    if dagster_event is None or not isinstance(data, StepMaterializationData):
        return None
    materialization = data.materialization
    # Values of metadata may be equal and be written differently; keys of several dimensions are more than text.
    if materialization.metadata or type(materialization.partition) is not str:
        return None
    hourless = data._replace(materialization=materialization._replace(partition=_PARTITION))
    return event._replace(timestamp=_INSTANT, dagster_event=dagster_event._replace(event_specific_data=hourless))


def _field(value: object) -> str:
    if value is None:
        return r"\N"
    text = str(value)
    return text.replace("\\", r"\\").replace("\t", r"\t").replace("\n", r"\n").replace("\r", r"\r")
