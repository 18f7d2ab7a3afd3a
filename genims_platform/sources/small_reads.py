"""Reading of few rows over a connection that is kept: opening one for connectorx costs more than the rows."""

from collections.abc import Mapping
from io import BytesIO

import polars as pl
from psycopg2 import extensions


def expected_rows(connection: extensions.connection, statement: str) -> int:
    """How many rows the planner of the server expects of a SELECT."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}")
        ((plans,),) = cursor.fetchall()
    return int(plans[0]["Plan"]["Plan Rows"])


def copied(connection: extensions.connection, statement: str, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The rows of a SELECT in the types of `schema`, which names its columns in order; memory holds them as text too.

    Raises:
        polars.exceptions.PolarsError: a value has no place in its type, such as the date `infinity`.
    """
    return parsed(copied_text(connection, statement), schema)


def copied_text(connection: extensions.connection, statement: str) -> bytes:
    """The rows of a SELECT as CSV in UTF-8, without a header. Leaves Polars alone."""
    text = BytesIO()
    with connection.cursor() as cursor:
        cursor.copy_expert(f"COPY ({statement}) TO STDOUT (FORMAT csv, ENCODING 'UTF8')", text)
    return text.getvalue()


def parsed(text: bytes, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """What `copied_text` returned, as `copied` does.

    Raises:
        polars.exceptions.PolarsError: as `copied`.
    """
    if not text:
        return pl.DataFrame(schema=schema)
    # Polars reads NULL, an empty text and all types as PostgreSQL writes them, except t and f.
    truths = [name for name, dtype in schema.items() if dtype == pl.Boolean]
    rows = pl.read_csv(text, has_header=False, schema={**schema, **dict.fromkeys(truths, pl.String())})
    return rows.with_columns(pl.col(truths) == "t") if truths else rows
