"""What waits in the queues of the sources: events that are committed there and not yet in the audit database."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass

import psycopg2

from genims_platform.settings import PostgresServer, Settings
from genims_platform.sources.connection import connect

COUNTED = 10_001
"""Events are counted up to this number: more is an alert in any case, and counting millions takes seconds."""

# The same events that a range from this tick on would hold, found through the index on transactions: nobody analyses
# the queue, so the planner takes a third of it for new, and would look for them from its beginning.
_BY_INDEX = "SET enable_seqscan = off"
_WAITING = """
    SELECT count(*), (extract(epoch FROM clock_timestamp() - min(occurred_at)) * 1000)::bigint
    FROM (
        SELECT q.occurred_at FROM audit.tick t, audit.queue q
        WHERE t.tick_id = %(tick)s AND (
            q.xid >= pg_snapshot_xmax(t.snap) OR q.xid = ANY (ARRAY(SELECT pg_snapshot_xip(t.snap))))
        LIMIT %(counted)s
    ) AS waiting
"""


@dataclass(frozen=True)
class Backlog:
    """Undelivered events of one source: how many, at most `COUNTED`, and the age of the oldest of them in ms.

    `problem` says why a source could not be asked; then nothing is known.
    """

    events: int | None
    oldest_ms: int | None = None
    problem: str | None = None


def backlogs(
    settings: Settings, ticks: Mapping[str, int], *, counted: int = COUNTED, within: float | None = None
) -> dict[str, Backlog]:
    """Source → what waits there, where `ticks` names the last delivered tick of each source; all asked side by side.

    A source that does not answer within so many seconds is a problem, not an error.
    """
    pool = ThreadPoolExecutor(max_workers=max(1, len(ticks)), thread_name_prefix="backlog")
    asked = {
        source: pool.submit(_backlog, settings.audit_relay(source), tick, counted) for source, tick in ticks.items()
    }
    wait(asked.values(), timeout=within)
    pool.shutdown(wait=False, cancel_futures=True)
    late = Backlog(None, problem=f"no answer within {within} s")
    return {source: answer.result() if answer.done() else late for source, answer in asked.items()}


def _backlog(server: PostgresServer, tick: int, counted: int) -> Backlog:
    try:
        with closing(connect(server, autocommit=True)) as connection, connection.cursor() as cursor:
            cursor.execute(_BY_INDEX)
            cursor.execute(_WAITING, {"tick": tick, "counted": counted})
            ((events, oldest),) = cursor.fetchall()
    except ConnectionError as error:
        return Backlog(None, problem=str(error))
    except psycopg2.Error as error:
        return Backlog(None, problem=f"{server.address}: {str(error).strip().splitlines()[0]}")
    return Backlog(int(events), None if oldest is None else int(oldest))
