"""The tables and columns that a statement names, so that they can be compared with a live database."""

from collections.abc import Mapping

from sqlglot import exp


def named_columns(statement: exp.Expr) -> Mapping[str, frozenset[str]]:
    """Table → columns that a SELECT and its subqueries name.

    A column belongs to the table of its alias, or else to the only table that its SELECT reads.
    """
    within = {common.alias for common in statement.find_all(exp.CTE)}
    tables = {found.alias_or_name: found.name for found in statement.find_all(exp.Table) if found.name not in within}
    named: dict[str, set[str]] = {name: set() for name in tables.values()}
    for column in statement.find_all(exp.Column):
        owner = column.parent_select
        table = tables.get(column.table) if column.table else owner and _only_table(owner)
        if table in named:
            named[table].add(column.name)
    return {table: frozenset(columns) for table, columns in named.items()}


def _only_table(select: exp.Expr) -> str | None:
    table = select.find(exp.Table)
    return table and table.name
