"""Checks of the audit trail: rules between its tables, numbers without gaps, latency, and what waits in the queues."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta

import dagster as dg

from genims_platform.audit.backlog import COUNTED, Backlog, backlogs
from genims_platform.audit.consistency import Part, broken_rules, broken_sequence, part_since
from genims_platform.audit.database import audit_database
from genims_platform.audit.ledger.batch import Span
from genims_platform.audit.sync_log import DeliveryHealth, delivery_health
from genims_platform.audit.trail import TrailNotSetUpError, delivered, last_ticks
from genims_platform.mysql.append_only import LEDGER
from genims_platform.mysql.connection import Database
from genims_platform.orchestration.audit.keys import audit_key, queue_key
from genims_platform.orchestration.audit.runs import WHOLE_YEAR_TAG
from genims_platform.orchestration.audit.tables import ETL_SYNC_LOG, audit_tables
from genims_platform.orchestration.resources import AS_OF
from genims_platform.settings import SOURCE_NAMES, Settings

CONSISTENT, SEQUENCE, LATENCY, BACKLOG = "consistent", "contiguous_sequence", "latency", "backlog"

NEW_PART = timedelta(hours=2)
"""Longer than between two runs of the checks, so that a late one leaves nothing out."""

RECENT = timedelta(minutes=15)
SLOW_MS, TOO_SLOW_MS = 500, 1000
MANY, TOO_MANY = 1_000, 10_000
OLD_MS, TOO_OLD_MS = 5_000, 60_000

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


def audit_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """A step for the rules within the audit database, and one for what waits in the sources."""
    return [_trail_checks(settings), _queue_checks(settings)]


def _trail_checks(settings: Settings) -> dg.AssetChecksDefinition:
    tables = list(audit_tables())

    @dg.multi_asset_check(
        name="audit_trail",
        specs=[
            *(
                dg.AssetCheckSpec(
                    CONSISTENT,
                    asset=audit_key(table),
                    description="The rows are those that ledger and spine say: each in its batch, as many as its batch "
                    "counts, none from the future, with partitions for years to come.",
                )
                for table in tables
            ),
            dg.AssetCheckSpec(
                SEQUENCE,
                asset=audit_key(LEDGER),
                description="Every number is there once, and no event of a source is there twice.",
            ),
            dg.AssetCheckSpec(
                LATENCY,
                asset=audit_key(ETL_SYNC_LOG),
                description=f"99 % of the events arrived within {TOO_SLOW_MS} ms in the last {RECENT.seconds // 60} "
                "minutes, and no source is halted.",
            ),
        ],
        can_subset=True,
        required_resource_keys={AS_OF},
    )
    def judge(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        now = context.resources.as_of
        whole = WHOLE_YEAR_TAG in context.run.tags
        since = now.replace(month=1, day=1, hour=0, minute=0) if whole else now - NEW_PART
        selected = {(key.asset_key, key.name) for key in context.selected_asset_check_keys}
        with _database(settings) as database:
            for table in tables:
                if (audit_key(table), CONSISTENT) in selected:
                    yield _consistency(database, table, since)
            if (audit_key(LEDGER), SEQUENCE) in selected:
                yield _sequence(database, since)
            if (audit_key(ETL_SYNC_LOG), LATENCY) in selected:
                yield _latency(delivery_health(database, now - RECENT))

    return judge


def _queue_checks(settings: Settings) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name="audit_queues",
        specs=[
            dg.AssetCheckSpec(
                BACKLOG,
                asset=queue_key(source),
                description=f"Nothing that was captured waits for delivery for longer than {OLD_MS // 1000} s.",
            )
            for source in SOURCE_NAMES
        ],
        can_subset=True,
    )
    def judge(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        selected = {key.asset_key for key in context.selected_asset_check_keys}
        ticks = last_ticks(require_trail(settings))
        found = backlogs(settings, ticks)
        for source in SOURCE_NAMES:
            if queue_key(source) in selected:
                yield _backlog(source, found.get(source))

    return judge


def require_trail(settings: Settings) -> Mapping[str, Span]:
    """How far each source is delivered; a failure that says what to do where there is no trail."""
    try:
        return delivered(settings)
    except TrailNotSetUpError as error:
        raise dg.Failure(f"The audit trail is not set up: {error}", allow_retries=False) from None


@contextmanager
def _database(settings: Settings) -> Generator[Database]:
    require_trail(settings)
    with closing(audit_database(settings, "relay")) as database:
        yield database


def _consistency(database: Database, table: str, since: datetime) -> dg.AssetCheckResult:
    with database.connection() as connection:
        part = part_since(connection, since)
        rules = broken_rules(connection, table, part) if part else {}
    return _rules_result(table, CONSISTENT, rules, part)


def _sequence(database: Database, since: datetime) -> dg.AssetCheckResult:
    with database.connection() as connection:
        part = part_since(connection, since)
        rules = broken_sequence(connection, part) if part else {}
    return _rules_result(LEDGER, SEQUENCE, rules, part)


def _rules_result(table: str, check: str, rules: Mapping[str, int], part: Part | None) -> dg.AssetCheckResult:
    broken = {rule: number for rule, number in rules.items() if number}
    return dg.AssetCheckResult(
        asset_key=audit_key(table),
        check_name=check,
        passed=not broken,
        severity=ERROR,
        description="; ".join(f"{rule.replace('_', ' ')}: {number}" for rule, number in broken.items()) or None,
        metadata={
            "batches": f"{part.first_batch} to {part.last_batch}" if part else "none",
            "sequences": f"{part.first} to {part.last}" if part and part.last >= part.first else "none",
            **broken,
        },
    )


def _latency(health: DeliveryHealth) -> dg.AssetCheckResult:
    worst = health.latency_p99_ms or 0
    findings = [f"source {source} is halted; see `genims audit status`" for source in health.halted]
    if worst > SLOW_MS:
        findings.append(f"the slowest 99th percentile was {worst} ms")
    if not health.records:
        findings.append("no relay has recorded anything; see `audit_stream_sensor`")
    return dg.AssetCheckResult(
        asset_key=audit_key(ETL_SYNC_LOG),
        check_name=LATENCY,
        passed=not findings,
        severity=ERROR if health.halted or worst > TOO_SLOW_MS or not health.records else WARN,
        description="; ".join(findings) or None,
        metadata={
            "records": health.records,
            "latency_p99_ms": worst,
            "queue_depth": health.queue_depth or 0,
        },
    )


def _backlog(source: str, found: Backlog | None) -> dg.AssetCheckResult:
    if found is None:
        problem = f"source {source} is not open; run `genims audit source open {source}`"
        return _backlog_result(source, WARN, [problem], {})
    if found.events is None:
        return _backlog_result(source, WARN, [found.problem or "the source did not answer"], {})
    oldest = found.oldest_ms or 0
    findings: list[str] = []
    if found.events > MANY:
        number = f"{found.events:,}" if found.events < COUNTED else f"more than {COUNTED - 1:,}"
        findings.append(f"{number} events wait")
    if oldest > OLD_MS:
        findings.append(f"the oldest event has waited for {oldest / 1000:.0f} s")
    severity = ERROR if found.events > TOO_MANY or oldest > TOO_OLD_MS else WARN
    return _backlog_result(source, severity, findings, {"events": found.events, "oldest_ms": oldest})


def _backlog_result(
    source: str, severity: dg.AssetCheckSeverity, findings: Sequence[str], metadata: Mapping[str, int]
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=queue_key(source),
        check_name=BACKLOG,
        passed=not findings,
        severity=severity,
        description="; ".join(findings) or None,
        metadata=dict(metadata),
    )
