"""The runs that deliver: a long one that streams, and a short one that drains the queues."""

import logging
import threading
from concurrent.futures import Future, wait
from contextlib import suppress
from datetime import timedelta
from queue import Empty, SimpleQueue

import dagster as dg

from genims_platform.audit.relay.figures import RelayResult, Report
from genims_platform.audit.relay.service import LeaderExistsError, Relay
from genims_platform.mysql.append_only import SPINE
from genims_platform.orchestration.audit.keys import audit_key
from genims_platform.orchestration.audit.runs import DRAIN_TAG, FIRST, SECOND, STREAM_TAG
from genims_platform.orchestration.audit.tally import Tally, Written
from genims_platform.orchestration.resources import utc_now
from genims_platform.settings import Settings

STREAM_JOB, DRAIN_JOB = "audit_stream_job", "audit_drain_job"

DRAIN_SECONDS = 30
STOP_SECONDS = 5
"""A relay that is told to stop finishes its transaction first, within this time."""

POLL_SECONDS = 0.2

# The relay says once a minute what it did; a line for each event of a run that lasts an hour is for nobody.
_QUIET = {"loggers": {"console": {"config": {"log_level": "WARNING"}}}}
# Another run is the sensor's business: it knows whether one is needed.
_NO_RETRY = {"dagster/max_retries": "0"}

_logger = logging.getLogger(__name__)


def audit_stream_job(settings: Settings) -> dg.JobDefinition:
    """One step that runs the relay for AUDIT_STREAM_RUN_SECONDS, or longer if no successor waits to take over."""
    length = settings.audit_stream_run_seconds

    @dg.op(name="stream", out=dg.Out(dg.Nothing))
    def stream(context: dg.OpExecutionContext) -> None:
        _Delivery(context, settings).run(standby=True, seconds=length)

    @dg.job(
        name=STREAM_JOB,
        description=(
            f"Delivers events of the sources to the audit database for {length} s; its successor takes over before it "
            "ends. Started by `audit_stream_sensor`."
        ),
        executor_def=dg.in_process_executor,
        config=_QUIET,
        tags={STREAM_TAG: "1", "dagster/priority": FIRST, "dagster/max_runtime": str(3 * length), **_NO_RETRY},
    )
    def job() -> None:
        stream()

    return job


def audit_drain_job(settings: Settings) -> dg.JobDefinition:
    """One step that delivers what waits, for DRAIN_SECONDS at most."""

    @dg.op(name="drain", out=dg.Out(dg.Nothing))
    def drain(context: dg.OpExecutionContext) -> None:
        _Delivery(context, settings).run(standby=False, seconds=DRAIN_SECONDS, once=True)

    @dg.job(
        name=DRAIN_JOB,
        description=(
            f"Delivers what waits in the queues, for {DRAIN_SECONDS} s at most. Started by `audit_drain_sensor`."
        ),
        executor_def=dg.in_process_executor,
        config=_QUIET,
        tags={DRAIN_TAG: "1", "dagster/priority": SECOND, "dagster/max_runtime": "300", **_NO_RETRY},
    )
    def job() -> None:
        drain()

    return job


class _Delivery:
    """A relay in a thread of its own, while the step waits to be interrupted and tells Dagster what was written.

    Dagster interrupts the main thread wherever it is; a relay there could be hit inside a transaction.
    """

    def __init__(self, context: dg.OpExecutionContext, settings: Settings) -> None:
        self._context = context
        self._settings = settings
        self._tally = Tally(timedelta(seconds=settings.etl_audit_interval))
        self._reports: SimpleQueue[Report] = SimpleQueue()
        self._stop = threading.Event()
        self._newest_batch: int | None = None

    def run(self, *, standby: bool, seconds: float, once: bool = False) -> None:
        """Deliver until the time is over, or the step is interrupted."""
        relay = Relay(self._settings, standby=standby, report=self._reports.put)
        outcome: Future[RelayResult] = Future()

        def work() -> None:
            try:
                outcome.set_result(relay.run(self._stop, seconds=seconds, once=once))
            except BaseException as error:
                outcome.set_exception(error)

        # A daemon: if it does not stop in time the process ends all the same; a half-sent batch is rolled back.
        threading.Thread(target=work, name="audit-relay", daemon=True).start()
        try:
            while not outcome.done():
                self._tell(last=False)
        finally:
            self._stop.set()
            wait([outcome], timeout=STOP_SECONDS)
            self._tell(last=True)
        try:
            result = outcome.result(timeout=0)
        except LeaderExistsError as error:
            self._context.log.info(f"nothing to do: {error}")
        else:
            self._context.log.info(f"{result.events:,} events in {result.batches:,} batches delivered")

    def _tell(self, *, last: bool) -> None:
        """Count what the relay reports, and record a materialisation for each table that is due."""
        with suppress(Empty):
            self._count(self._reports.get(timeout=0 if last else POLL_SECONDS))
            while True:
                self._count(self._reports.get_nowait())
        now = utc_now()
        for table, written in self._tally.due(now, last=last).items():
            try:
                self._context.log_event(_materialization(table, written, self._context.run_id))
            except Exception as error:
                # Delivery does not depend on Dagster's storage; the sums stay and are told later.
                _logger.warning("materialisation of %s was not recorded: %s", table, error)
                return
            self._tally.told(table, now)

    def _count(self, report: Report) -> None:
        if report.head is not None and report.first_sequence is not None and report.last_sequence is not None:
            batches = report.head.batch_no - self._newest_batch if self._newest_batch is not None else 1
            rows = {**report.rows, SPINE: max(1, batches)}
            first, last, latency = report.first_sequence, report.last_sequence, report.latency.p99_ms
            self._tally.add({table: Written(n, first, last, latency) for table, n in rows.items()}, utc_now())
        if report.head is not None:
            self._newest_batch = report.head.batch_no


def _materialization(table: str, written: Written, run_id: str) -> dg.AssetMaterialization:
    latency = {} if written.latency_p99_ms is None else {"latency_p99_ms": written.latency_p99_ms}
    return dg.AssetMaterialization(
        audit_key(table),
        metadata={
            "rows": written.rows,
            "first_sequence": written.first_sequence,
            "last_sequence": written.last_sequence,
            "run_id": run_id,
            **latency,
        },
    )
