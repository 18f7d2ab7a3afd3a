"""The generated pages: complete, up to date, and in words that people understand."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlglot import exp

from genims_platform.documentation.pages import INDEX, pages, stale, write
from genims_platform.documentation.scopes import in_words
from genims_platform.mysql.contract import contracts
from genims_platform.reporting.registry import reporting_tables
from genims_platform.settings import PROJECT_ROOT
from genims_platform.sources.scope import (
    Alike,
    Between,
    Everything,
    KeyFrom,
    KeyIn,
    Latest,
    NumberedBetween,
    Scope,
    Span,
    Until,
)

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def generated() -> Mapping[str, str]:
    return pages(reporting_tables())


def test_the_pages_in_docs_are_up_to_date(generated: Mapping[str, str]) -> None:
    assert not stale(generated), "docs/tables differs from the schema and the models: run `genims docs write`"


def test_the_tests_that_are_named_as_evidence_exist() -> None:
    text = (PROJECT_ROOT / "docs/audit-integrity.md").read_text("utf-8")
    named = re.findall(r"`([a-z_/]+\.py)::(test_\w+)`", text)
    assert len(named) > 10
    for file, name in named:
        assert f"def {name}(" in (PROJECT_ROOT / "genims_platform_tests" / file).read_text("utf-8"), name


def test_every_table_has_a_page_with_all_its_columns_and_an_entry_in_the_index(generated: Mapping[str, str]) -> None:
    assert generated.keys() == {INDEX, *(f"{name}.md" for name in reporting_tables())}
    for name in reporting_tables():
        page = generated[f"{name}.md"]
        missing = [column.name for column in contracts("reporting")[name].columns if f"| `{column.name}` |" not in page]
        assert not missing
        assert f"[{name}]({name}.md)" in generated[INDEX]


def test_every_row_of_a_table_has_the_cells_of_its_heading(generated: Mapping[str, str]) -> None:
    for name, page in generated.items():
        widths = {len(line.replace(r"\|", "").split("|")) for line in block_of(page, "## Columns")}
        assert widths <= {8}, name


def block_of(page: str, heading: str) -> list[str]:
    return [line for line in page.partition(heading)[2].partition("## ")[0].splitlines() if line.startswith("|")]


def test_pages_are_written_once_and_surplus_ones_go(tmp_path: Path) -> None:
    wanted = {"README.md": "index\n", "a.md": "a\n"}
    (tmp_path / "gone.md").write_text("of a table that was dropped\n", "utf-8")
    assert stale(wanted, tmp_path) == ["README.md", "a.md", "gone.md"]
    assert write(wanted, tmp_path) == ["README.md", "a.md", "gone.md"]
    assert stale(wanted, tmp_path) == write(wanted, tmp_path) == []
    (tmp_path / "a.md").write_text("edited by hand\n", "utf-8")
    assert stale(wanted, tmp_path) == ["a.md"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "a.md"]


@dataclass(frozen=True)
class Sampled(Scope):
    """Rows whose `column` falls in a sample: for this test."""

    column: str

    def predicate(self, span: Span) -> exp.Condition:  # noqa: ARG002
        return exp.true()


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        (Everything(), "all rows"),
        (Between("at"), "`at` in the window"),
        (Between("at", before=DAY + timedelta(hours=4)), "`at` in the window or up to 1 day 4 h before it"),
        (
            Between("at", before=timedelta(minutes=90), after=2 * DAY),
            "`at` in the window or up to 1 h 30 min before it or up to 2 days after it",
        ),
        (NumberedBetween("number", "PICK"), "`number` names a day of the window (PICK-yyyymmdd-…)"),
        (
            KeyIn("order_id", "orders", "id", Between("ordered")),
            "`order_id` is the `id` of a row of `orders` with `ordered` in the window",
        ),
        (
            KeyFrom("order_id", "tms.pods", "id", Until("sent")) | Alike("kind", "a"),
            "`order_id` is the `id` of a row of `tms.pods` with `sent` before the end of the window, or `kind` is `a`",
        ),
        (
            Latest("prices", "day", "item", Until("day") & Alike("kind", "a")),
            "the latest `day` of each `item` among rows with `day` before the end of the window, and `kind` is `a`",
        ),
        (Sampled("at"), "Rows whose `at` falls in a sample"),
    ],
)
def test_a_scope_is_told_in_words(scope: Scope, words: str) -> None:
    assert in_words(scope) == words
