"""The two tables that a run fills on demand: verifications with their checkpoints, and comparisons with the sources."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from importlib.metadata import version
from typing import Any

import dagster as dg

from genims_platform.audit.integrity import record_comparisons, record_verification
from genims_platform.audit.reconcile.baseline import reconcile_baseline
from genims_platform.audit.reconcile.comparison import Comparison
from genims_platform.audit.reconcile.deep import reconcile_deep
from genims_platform.audit.reconcile.source import (
    ReconciliationError,
    reconcile_days,
    reconcile_hour,
    reconcile_sequence,
)
from genims_platform.audit.sealer.sealer import Sealer
from genims_platform.audit.verify.verifier import Scope, Verification, verify
from genims_platform.orchestration.audit.assets import audit_spec
from genims_platform.orchestration.audit.checks import require_trail
from genims_platform.orchestration.audit.keys import audit_key
from genims_platform.orchestration.audit.runs import WHOLE_YEAR_TAG
from genims_platform.orchestration.audit.tables import CHECKPOINTS, COMPLETENESS, audit_tables
from genims_platform.orchestration.resources import AS_OF
from genims_platform.settings import Settings, SettingsError

CHAIN, RECONCILED = "chain_intact", "sources_reconciled"
OPERATOR = "dagster"
_FINDINGS_SHOWN = 5
_SUNDAY = 6
_Compare = Callable[[Settings, str], Sequence[Comparison]]

_HOW_COMPLETENESS = (
    "Materialise it to compare the last hour of every open source with the ledger, event by event where counts or "
    "digests differ; every comparison is recorded here. The nightly run compares each day, and every stored value of a "
    "sample of events; on Sundays also the audited tables with their baselines."
)
_HOW_CHECKPOINTS = (
    "Materialise it to verify what came since the last verification that found nothing, every hash of it; the result "
    "is recorded here. Where Dagster has the signing key, a checkpoint is signed first; otherwise that is the work of "
    "`genims audit seal --loop`."
)


def assurance_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The assets that verify the trail and reconcile it with its sources."""
    return [_completeness(settings), _checkpoints(settings)]


def _completeness(settings: Settings) -> dg.AssetsDefinition:
    key = audit_key(COMPLETENESS)

    @dg.multi_asset(
        name=COMPLETENESS,
        specs=[audit_spec(audit_tables()[COMPLETENESS], _HOW_COMPLETENESS)],
        check_specs=[
            dg.AssetCheckSpec(
                RECONCILED,
                asset=key,
                description="The ledger has exactly the events that the sources captured, and no number twice.",
            )
        ],
        required_resource_keys={AS_OF},
    )
    def reconcile(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        sources = require_trail(settings)
        _require(settings, "writer")
        comparisons: list[_Compare] = [reconcile_hour]
        if WHOLE_YEAR_TAG in context.run.tags:
            comparisons = [reconcile_days, _sample]
            if context.resources.as_of.weekday() == _SUNDAY:
                comparisons.append(reconcile_baseline)
        done: list[Comparison] = []
        problems: list[str] = []
        for source in sources:
            for compare in comparisons:
                try:
                    done += compare(settings, source)
                except (ReconciliationError, ConnectionError, SettingsError) as error:
                    problems.append(f"{source}: {error}")
        if whole := reconcile_sequence(settings):
            done.append(whole)
        gaps = {f"{found.check_type} {found.name}": found.sentence for found in done if found.gap_found}
        recorded = record_comparisons(
            settings, [found.row() for found in done], gaps, operator=OPERATOR, run_id=context.run.run_id
        )
        yield dg.MaterializeResult(
            asset_key=key,
            metadata={
                "rows": len(done),
                "recorded_as": recorded,
                "events_compared": sum(found.actual[0] for found in done if found.table is None),
                "not_available": sum(found.status == "NOT_AVAILABLE" for found in done),
            },
            check_results=[
                dg.AssetCheckResult(
                    asset_key=key,
                    check_name=RECONCILED,
                    passed=not gaps and not problems,
                    # A source that does not answer is looked at again; a gap does not close by itself.
                    severity=dg.AssetCheckSeverity.ERROR if gaps else dg.AssetCheckSeverity.WARN,
                    description="; ".join([*(f"{name}: {what}" for name, what in gaps.items()), *problems]) or None,
                    metadata={"comparisons": len(done), "gaps": len(gaps), "not_compared": len(problems)},
                )
            ],
        )

    return reconcile


def _sample(settings: Settings, source: str) -> list[Comparison]:
    """The stored values of some events."""
    found = reconcile_deep(settings, source)
    return [] if found is None else [found]


def _checkpoints(settings: Settings) -> dg.AssetsDefinition:
    table = audit_tables()[CHECKPOINTS]
    key = audit_key(CHECKPOINTS)

    @dg.multi_asset(
        name=CHECKPOINTS,
        specs=[audit_spec(table, _HOW_CHECKPOINTS)],
        check_specs=[
            dg.AssetCheckSpec(
                CHAIN,
                asset=key,
                description="Every hash that was recomputed agrees with the chain and the signed checkpoints.",
            )
        ],
        required_resource_keys={AS_OF},
    )
    def assure(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        require_trail(settings)
        _require(settings, "verifier", "writer")
        if seals(settings):
            _seal(context, settings)
        else:
            context.log.info("no signing key is configured here; checkpoints are signed by `genims audit seal --loop`")
        done = verify(settings, _scope(context, context.resources.as_of))
        recorded = record_verification(
            settings,
            done,
            operator=OPERATOR,
            version=version("genims-platform")[:32],
            run_id=context.run.run_id,
        )
        yield dg.MaterializeResult(
            asset_key=key,
            metadata={
                "rows": 1,
                "recorded_as": recorded,
                "scope": done.scope,
                "batches_recomputed": done.batches,
                "rows_recomputed": done.rows,
                "seconds": done.seconds,
                "last_sequence": done.covers_sequence,
                "known_breaks": len(done.known),
                "not_testable": dg.MetadataValue.md("\n".join(f"* {what}" for what in done.not_testable) or "nothing"),
            },
            check_results=[_verdict(done)],
        )

    return assure


def seals(settings: Settings) -> bool:
    """Whether the key that signs checkpoints is configured for this process."""
    file = settings.audit_signing_key_file
    has_key = settings.audit_signing_key is not None or (file is not None and file.exists())
    return has_key and settings.audit_worm_uri is not None


def _seal(context: dg.AssetExecutionContext, settings: Settings) -> None:
    with closing(Sealer(settings)) as sealer:
        checkpoint = sealer.seal_once()
    context.log.info(
        "nothing to seal" if checkpoint is None else f"checkpoint {checkpoint.statement.checkpoint_no} signed"
    )


def _require(settings: Settings, *roles: str) -> None:
    for role in roles:
        if not getattr(settings, f"mysql_audit_{role}_password").get_secret_value():
            raise dg.Failure(
                f"MYSQL_AUDIT_{role.upper()}_PASSWORD is not set for Dagster; set it, or run `genims audit verify` "
                "and `genims audit reconcile` where it is known",
                allow_retries=False,
            )


def _scope(context: dg.AssetExecutionContext, now: datetime) -> Scope:
    return Scope("year", now.year) if WHOLE_YEAR_TAG in context.run.tags else Scope("new")


def _verdict(done: Verification) -> dg.AssetCheckResult:
    sentences = [
        f"{found.code} {found.sentence}"
        if found.sequence is None
        else f"{found.code} from {found.sequence}: {found.sentence}"
        for found in done.findings
    ]
    return dg.AssetCheckResult(
        asset_key=audit_key(CHECKPOINTS),
        check_name=CHAIN,
        passed=not done.findings,
        severity=dg.AssetCheckSeverity.ERROR,
        description="; ".join(sentences[:_FINDINGS_SHOWN]) or None,
        metadata={
            "findings": len(done.findings),
            "rows_recomputed": done.rows,
            **({} if done.first_bad_sequence is None else {"first_bad_sequence": done.first_bad_sequence}),
        },
    )
