"""The tables of the audit trail as Dagster shows them."""

from collections import Counter
from datetime import date

import pytest

from genims_platform.audit.policy import audit_policy
from genims_platform.build import build_definitions
from genims_platform.mysql.append_only import LEDGER, SPINE
from genims_platform.mysql.contract import contracts
from genims_platform.orchestration.audit.keys import audit_key, queue_key
from genims_platform.orchestration.audit.tables import CHECKPOINTS, COMPLETENESS, audit_tables
from genims_platform.orchestration.keys import source_key
from genims_platform.orchestration.partitions import hourly_partitions
from genims_platform.settings import SOURCE_NAMES, load_settings

GRAPH = build_definitions(
    settings=load_settings(), partitions=hourly_partitions(date(2026, 3, 10))
).resolve_asset_graph()


def test_every_table_of_the_schema_is_an_asset_in_its_group() -> None:
    keys = {key for key in GRAPH.get_all_asset_keys() if key.path[0] == "genims_audit_db"}
    assert keys == {audit_key(table) for table in contracts("audit")}
    assert Counter(GRAPH.get(key).group_name for key in keys) == {
        "audit_system": 10,
        "audit_data_change": 8,
        "audit_compliance": 12,
    }


@pytest.mark.parametrize("name", contracts("audit"))
def test_every_asset_says_what_it_holds_who_writes_it_and_what_its_columns_mean(name: str) -> None:
    node, table = GRAPH.get(audit_key(name)), audit_tables()[name]
    assert node.metadata["table_number"] == table.number == list(contracts("audit")).index(name) + 1
    assert node.metadata["writer"] == table.writer
    assert node.metadata["class"]
    schema = node.metadata["dagster/column_schema"]
    assert [column.name for column in schema.columns] == [column.name for column in contracts("audit")[name].columns]
    assert all(column.description for column in schema.columns)
    assert ("Nothing writes this table yet" in (node.description or "")) is (table.feed == "nobody")
    assert node.partitions_def is None


def test_seventeen_tables_are_fed_by_the_stream_and_only_two_are_computed_on_demand() -> None:
    feeds = Counter(table.feed for table in audit_tables().values())
    assert feeds == {"stream": 17, "job": 2, "findings": 1, "nobody": 10}
    executable = {key for key in GRAPH.executable_asset_keys if key.path[0] == "genims_audit_db"}
    assert executable == {audit_key(COMPLETENESS), audit_key(CHECKPOINTS)}


@pytest.mark.parametrize("source", SOURCE_NAMES)
def test_a_queue_lies_between_the_audited_tables_of_its_source_and_the_ledger(source: str) -> None:
    audited = {source_key(f"{source}.{table}") for table in audit_policy().audited(source)}
    assert GRAPH.get(queue_key(source)).parent_keys == audited
    assert queue_key(source) in GRAPH.get(audit_key(LEDGER)).parent_keys


def test_details_follow_the_ledger_and_checkpoints_the_spine() -> None:
    assert GRAPH.get(audit_key("price_cost_changes")).parent_keys == {audit_key(LEDGER)}
    assert GRAPH.get(audit_key(SPINE)).parent_keys == {audit_key(LEDGER)}
    assert audit_key(SPINE) in GRAPH.get(audit_key(CHECKPOINTS)).parent_keys
    assert GRAPH.get(audit_key("legal_hold_tracking")).parent_keys == set()
