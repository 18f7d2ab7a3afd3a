"""Names in a source that the audit policy does not classify."""

from collections.abc import Iterator, Mapping

from genims_platform.audit.capture.tables import LiveTable
from genims_platform.audit.policy import AuditPolicy
from genims_platform.audit.routing.router import Unclassified
from genims_platform.sources.catalogue import catalogue


def unclassified(source: str, policy: AuditPolicy, tables: Mapping[str, LiveTable]) -> Iterator[Unclassified]:
    """Tables that are in no list of the policy, and columns of audited tables that no catalogue knows."""
    audited = policy.audited(source)
    known = {*audited, *policy.not_audited(source)}
    for name, table in tables.items():
        if name not in known:
            yield Unclassified(source, name)
        elif name in audited:
            columns = catalogue()[source][name].polars_schema
            yield from (Unclassified(source, name, column) for column in table.columns if column not in columns)
