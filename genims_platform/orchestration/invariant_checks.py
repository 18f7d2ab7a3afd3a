"""Equations between reporting tables as asset checks, evaluated after the tables of a run are refreshed."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime

import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from genims_platform.orchestration.keys import reporting_key
from genims_platform.orchestration.partitions import hour_of
from genims_platform.orchestration.resources import AS_OF, REPORTING_DATABASE
from genims_platform.reporting.invariants.invariant import Grain, Invariant, Verdict, verify
from genims_platform.reporting.invariants.registry import INVARIANTS
from genims_platform.reporting.periods import DAY, LATE_DAYS
from genims_platform.reporting.table import ReportingTable


def invariant_checks(tables: Mapping[str, ReportingTable], grain: Grain) -> list[dg.AssetChecksDefinition]:
    """One step for the equations by day, or by month, whose tables exist; none if there is no such equation.

    In a run that refreshes tables it judges the equations all of whose tables are refreshed, for the days of the run. A
    run of the checks alone judges the last LATE_DAYS days, or the closed months that they touch.
    """
    invariants = [i for i in INVARIANTS if i.grain == grain and tables.keys() >= set(i.tables)]
    if not invariants:
        return []

    @dg.multi_asset_check(
        name=f"invariants_by_{grain}",
        specs=[_spec(invariant) for invariant in invariants],
        can_subset=True,
        required_resource_keys={REPORTING_DATABASE, AS_OF},
    )
    def judge(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        first, end = days_judged(context.run.tags, context.resources.as_of)
        refreshed = context.run.asset_selection
        wanted = [
            invariant
            for invariant in invariants
            if check_key(invariant) in context.selected_asset_check_keys
            and (not refreshed or refreshed >= {reporting_key(table) for table in invariant.tables})
        ]
        for verdict in verify(context.resources.reporting_database, wanted, first, end):
            yield _result(verdict, first, end)

    return [judge]


def check_key(invariant: Invariant) -> dg.AssetCheckKey:
    """The key of an equation's check: it hangs on the first of its tables."""
    return dg.AssetCheckKey(reporting_key(invariant.tables[0]), invariant.name)


def days_judged(tags: Mapping[str, str], as_of: datetime) -> tuple[date, date]:
    """The days [first, end) that a run with these tags refreshed, with the day before, which every run repeats."""
    start = tags.get(ASSET_PARTITION_RANGE_START_TAG) or tags.get(PARTITION_NAME_TAG)
    last = tags.get(ASSET_PARTITION_RANGE_END_TAG) or start
    if start is None or last is None:
        return (as_of.date() - DAY * LATE_DAYS).replace(day=1), as_of.date() + DAY
    return hour_of(start).date() - DAY, hour_of(last).date() + DAY


def _spec(invariant: Invariant) -> dg.AssetCheckSpec:
    key = check_key(invariant)
    return dg.AssetCheckSpec(
        key.name,
        asset=key.asset_key,
        additional_deps=[reporting_key(table) for table in invariant.tables[1:]],
        description=f"{invariant.description} Compared by {invariant.grain} across {', '.join(invariant.tables)}.",
    )


def _result(verdict: Verdict, first: date, end: date) -> dg.AssetCheckResult:
    key = check_key(verdict.invariant)
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=verdict.holds,
        severity=dg.AssetCheckSeverity.ERROR,
        description="; ".join(verdict.findings) or None,
        metadata={"broken_totals": verdict.broken, "days": f"{first} to {end - DAY}"},
    )
