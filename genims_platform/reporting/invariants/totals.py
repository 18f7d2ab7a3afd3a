"""SQL that finds totals on which two tables differ.

A total that only one side has counts as 0 on the other. Money and energy may differ by 0.01 for each row summed, for
rounding at load; counts are exact.
"""

# Attributes that are NULL for a key without master data count as one value on both sides.
LINE = "COALESCE(line_id, 'UNKNOWN') AS line_id"
FACTORY = "COALESCE(factory_id, 'UNKNOWN') AS factory_id"
PLANT = "COALESCE(plant_id, 'UNKNOWN') AS plant_id"

CENT_A_ROW = "0.01 * COUNT(*)"
EXACT = "0"


def equal(by: str, left: str, right: str, *, tolerance: str = EXACT, both: bool = False) -> str:
    """Totals of `amount` by `by` that differ between two SELECTs; with `both`, only where both have rows."""
    return f"""
        SELECT {by}, SUM(l) AS `left`, SUM(r) AS `right`
        FROM (SELECT {by}, COALESCE(amount, 0) AS l, 0 AS r, 1 AS in_left, 0 AS in_right FROM ({left}) AS a
              UNION ALL SELECT {by}, 0, COALESCE(amount, 0), 0, 1 FROM ({right}) AS b) AS sides
        GROUP BY {by}
        HAVING ABS(SUM(l) - SUM(r)) > {tolerance} {"AND SUM(in_left) > 0 AND SUM(in_right) > 0" if both else ""}
    """  # noqa: S608


def rows_of(table: str, period: str, columns: str, amount: str, where: str = "TRUE") -> str:
    """Rows of one table in the range, with the period named `day` and the measure `amount`."""
    keys = f", {columns}" if columns else ""
    return (
        f"SELECT {period} AS day{keys}, {amount} AS amount FROM {table} "  # noqa: S608
        f"WHERE {period} >= %(first)s AND {period} < %(end)s AND ({where})"
    )


def before_last(table: str, period: str, columns: str, amount: str) -> str:
    """Rows of all days of the range but the last."""
    return (
        f"SELECT {period} AS day, {columns}, {amount} AS amount FROM {table} "  # noqa: S608
        f"WHERE {period} >= %(first)s AND {period} < %(end)s - INTERVAL 1 DAY"
    )


def day_before(table: str, period: str, columns: str, amount: str) -> str:
    """Rows of all days of the range but the first, as of the day before."""
    return (
        f"SELECT {period} - INTERVAL 1 DAY AS day, {columns}, {amount} AS amount FROM {table} "  # noqa: S608
        f"WHERE {period} >= %(first)s + INTERVAL 1 DAY AND {period} < %(end)s"
    )


def closed_months(table: str, period: str, columns: str, amount: str) -> str:
    """Rows by month, of the months that lie in the range as a whole."""
    month = f"({period} - INTERVAL DAYOFMONTH({period}) - 1 DAY)"
    keys = f", {columns}" if columns else ""
    return (
        f"SELECT {month} AS month{keys}, {amount} AS amount FROM {table} "  # noqa: S608
        f"WHERE {period} >= %(first)s AND {period} < %(end)s "
        f"AND {month} >= %(first)s AND {month} + INTERVAL 1 MONTH <= %(end)s"
    )
