"""work_in_process: how much capital and how many orders sit on the lines, and which stall."""

from dataclasses import replace
from datetime import timedelta
from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.checks import Checks, Expected, Identity, Reconciliation, sql
from genims_platform.reporting.order_lines import EXACT
from genims_platform.reporting.periods import DAY, LATE_DAYS, Window
from genims_platform.reporting.production_orders import COMPLETION_DAYS_OF_BOOKINGS, completed_orders, is_completed
from genims_platform.reporting.rolling import over_days
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read
from genims_platform.sources.scope import Between, KeyIn, Unended, Unlike, Until

_AVERAGED_DAYS = 7
_STALLED_HOURS = 120
_HOUR = 3_600_000_000  # microseconds
_AVERAGED = timedelta(days=_AVERAGED_DAYS - 1)
_KEY = ["day", "line_id", "product_id"]

_NOT_DONE = Unlike("status", "completed") & Unlike("status", "closed") & Unlike("status", "cancelled")
_ON_THE_LINES = (
    ((Unended("actual_end_time") | _NOT_DONE) & Until("actual_start_time"))
    | Between("actual_start_time")
    | Between("actual_end_time")
)
"""Orders in process at some time of the span, or started or completed in it."""
_OF_THESE = KeyIn("work_order_id", "work_orders", "work_order_id", _ON_THE_LINES)

# What an order is at the end of each day, over which the statements below are summed.
_ORDERS_BY_DAY = """
    WITH days AS (
      SELECT d::date AS day, least(d + interval '1 day', %(end)s) AS until
      FROM generate_series(%(first_day)s::timestamp, %(last_day)s::timestamp, interval '1 day') d
    ), orders AS MATERIALIZED (
      SELECT work_order_id, line_id, product_id, status, actual_start_time AS started,
        CASE WHEN status IN ('completed', 'closed') AND actual_end_time < %(end)s THEN actual_end_time END AS completed
      FROM work_orders
      WHERE (actual_start_time < %(end)s OR actual_end_time < %(end)s)
        AND (actual_end_time IS NULL OR actual_end_time >= %(start)s OR actual_start_time >= %(start)s
          OR status NOT IN ('completed', 'closed', 'cancelled'))
    ), open AS (
      SELECT day, until, work_order_id, line_id, product_id
      FROM days
      JOIN orders ON status <> 'cancelled' AND started < until AND (completed IS NULL OR completed >= until)
    )
"""


def _by_day(statement: str) -> Expected:
    return sql("mes", _ORDERS_BY_DAY + statement)


_LINES_AND_PRODUCTS = _by_day(
    """
    SELECT day AS wip_date, line_id, product_id FROM open
    UNION
    SELECT day, line_id, product_id
    FROM days JOIN orders ON status <> 'cancelled' AND started < day AND (completed IS NULL OR completed >= day)
    UNION
    SELECT day, line_id, product_id
    FROM days JOIN orders ON status <> 'cancelled' AND started >= day AND started < until
    UNION
    SELECT day, line_id, product_id FROM days JOIN orders ON completed >= day AND completed < until
    """
)
_OPEN_ORDERS = _by_day(
    """, booked AS (
      SELECT work_order_id, clock_in_time AS booked_at, labor_cost AS value
      FROM labor_transactions WHERE work_order_id IN (SELECT work_order_id FROM open)
      UNION ALL
      SELECT work_order_id, transaction_date,
        CASE transaction_type WHEN 'issue' THEN total_cost WHEN 'return' THEN -total_cost END
      FROM material_transactions WHERE work_order_id IN (SELECT work_order_id FROM open)
    )
    SELECT day AS wip_date, count(DISTINCT open.work_order_id) AS wip_orders,
      coalesce(sum(value), 0) AS closing_value_inr
    FROM open LEFT JOIN booked ON booked.work_order_id = open.work_order_id AND booked_at < until
    GROUP BY 1
    """
)
_BOOKED_LATE = sql(
    "mes",
    """
    SELECT actual_end_time::date AS wip_date, count(*) AS bookings_after_completion
    FROM work_orders o
    CROSS JOIN LATERAL (
      SELECT clock_in_time AS booked_at FROM labor_transactions WHERE work_order_id = o.work_order_id
      UNION ALL
      SELECT transaction_date FROM material_transactions
      WHERE work_order_id = o.work_order_id AND transaction_type IN ('issue', 'return')
    ) booked
    WHERE status IN ('completed', 'closed') AND actual_end_time >= %(start)s AND actual_end_time < %(end)s
      AND booked_at > actual_end_time AND booked_at < %(as_of)s
    GROUP BY 1
    """,
)
_CHECKS = Checks(
    rows=_LINES_AND_PRODUCTS,
    reconcile=(
        Reconciliation("wip_orders_vs_mes and wip_value_vs_mes", _OPEN_ORDERS),
        Reconciliation(
            "LATE_COST", _BOOKED_LATE, {"bookings_after_completion": pl.lit(0)}, tolerance=0.0, blocks=False
        ),
    ),
    identities=(
        Identity(
            "closing value = opening + added - completed",
            pl.col("closing_value_inr")
            - (pl.col("opening_value_inr") + pl.col("added_value_inr") - pl.col("completed_value_inr")),
            tolerance=0.02,
        ),
        Identity(
            "closing value = material + labour",
            pl.col("closing_value_inr") - (pl.col("closing_material_inr") + pl.col("closing_labor_inr")),
            tolerance=0.02,
        ),
    ),
    orphans={"product_id": "product_name"},
)


@reporting_table(
    group="inventory",
    recompute=1,
    horizon=35,
    rolling_days=LATE_DAYS + 1,  # an order carries its value through every day until it is completed
    touched=COMPLETION_DAYS_OF_BOOKINGS,
    checks=_CHECKS,
)
def work_in_process(
    *,
    window: Window,
    work_orders: Annotated[
        pl.LazyFrame, Read("mes.work_orders", _ON_THE_LINES | Between("actual_end_time", before=_AVERAGED))
    ],
    order_materials: Annotated[pl.LazyFrame, Read("mes.material_transactions", _OF_THESE)],
    order_labor: Annotated[pl.LazyFrame, Read("mes.labor_transactions", _OF_THESE)],
    lines: Annotated[pl.LazyFrame, Read("master.production_lines")],
    products: Annotated[pl.LazyFrame, Read("master.products")],
) -> pl.LazyFrame:
    """Orders in process and their value at the end of the day; one row a day, line and product that has or had any.

    An order is in process from its actual start until its completion, on hold or not; cancelled ones are not. Its value
    is what was booked on it, net material and labour, INR, and may be negative. Closing = opening + added - completed:
    bookings from before the start count on the day of the start, those from after the completion on that day, as added
    and completed, so that the completed value is all an order cost. `wip_days` is the lead time by Little's law: pieces
    in process / good pieces a day over seven days. Ages in hours.
    """
    orders = _orders(work_orders, window)
    values = _values(orders, _bookings(order_materials, order_labor, window), window)
    line_factories = lines.select("line_id", line_factory_id="factory_id").unique(
        "line_id", keep="first", maintain_order=True
    )
    names = products.select("product_id", "product_name").unique("product_id", keep="first", maintain_order=True)
    amounts = pl.col("opening_value_inr", "added_value_inr", "completed_value_inr")
    return (
        _counts(orders, window)
        .join(values, on=_KEY, how="left")
        .join(_output(work_orders, window), on=_KEY, how="left")
        .join(line_factories, on="line_id", how="left")
        .join(names, on="product_id", how="left")
        .with_columns(
            amounts.fill_null(0),
            pl.col("closing_material_inr", "closing_labor_inr").fill_null(0),
            factory_id=pl.coalesce("line_factory_id", "order_factory_id"),
            wip_days=_AVERAGED_DAYS * kpi.ratio(pl.col("wip_qty"), pl.col("good_quantity")),
        )
        .with_columns(closing_value_inr=pl.col("closing_material_inr") + pl.col("closing_labor_inr"))
        .rename({"day": "wip_date"})
        .drop("line_factory_id", "order_factory_id", "good_quantity")
    )


def _orders(work_orders: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Orders with `started` and `completed`, the days on which they entered and left the lines before the window's end.

    `started` is NULL for a cancelled order, `completed` for one that is not completed yet.
    """
    status, end = pl.col("status"), window.span.end
    return work_orders.select(
        "work_order_id",
        "factory_id",
        "planned_quantity",
        "planned_end_date",
        "actual_start_time",
        line_id=kpi.key(pl.col("line_id")),
        product_id=kpi.key(pl.col("product_id")),
        started=pl.when(status != "cancelled", pl.col("actual_start_time") < end).then(
            kpi.day(pl.col("actual_start_time"))
        ),
        completed=pl.when(is_completed(), pl.col("actual_end_time") < end).then(kpi.day(pl.col("actual_end_time"))),
    ).filter(pl.any_horizontal(pl.col("started", "completed").is_not_null()))


def _within(day: pl.Expr, window: Window) -> pl.Expr:
    return day.is_between(window.first, window.last_day)


def _each_day(rows: pl.LazyFrame, first: pl.Expr, last: pl.Expr, window: Window) -> pl.LazyFrame:
    """Each row on every `day` of the window from `first` to `last`; to the window's end where `last` is NULL."""
    start = pl.max_horizontal(first, pl.lit(window.first))
    end = pl.min_horizontal(last, pl.lit(window.last_day))
    return rows.filter(first.is_not_null(), start <= end).with_columns(day=pl.date_ranges(start, end)).explode("day")


def _counts(orders: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Orders started, completed and in process at the end of each day, their pieces and ages."""
    until = pl.min_horizontal((pl.col("day") + DAY).cast(pl.Datetime("us")), pl.lit(window.as_of))
    in_process = pl.col("in_process")
    age = (pl.col("until") - pl.col("actual_start_time")).dt.total_microseconds().filter(in_process) / _HOUR
    return (
        pl.concat(
            [
                _each_day(orders, pl.col("started"), pl.col("completed") - DAY, window).with_columns(in_process=True),
                orders.filter(_within(pl.col("started"), window)).with_columns(day="started", starts=True),
                orders.filter(_within(pl.col("completed"), window)).with_columns(day="completed", ends=True),
            ],
            how="diagonal",
        )
        .with_columns(until=until)
        .group_by(_KEY)
        .agg(
            order_factory_id=pl.col("factory_id").min(),
            started_orders=pl.col("starts").sum(),
            completed_orders=pl.col("ends").sum(),
            wip_orders=in_process.sum(),
            wip_qty=pl.col("planned_quantity").filter(in_process).sum(),
            avg_age_hours=age.mean(),
            max_age_hours=age.max(),
            orders_over_5d=(age > _STALLED_HOURS).sum(),
            late_orders=(pl.col("planned_end_date") < pl.col("until")).filter(in_process).sum(),
            source_row_count=pl.col("work_order_id").n_unique(),
        )
    )


def _bookings(materials: pl.LazyFrame, labor: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Net `material` and `labor` booked by order and day, before the run."""
    amount, kind = pl.col("total_cost").cast(EXACT), pl.col("transaction_type")
    net = pl.when(kind == "issue").then(amount).when(kind == "return").then(-amount)
    booked = pl.concat(
        [
            materials.filter(pl.col("transaction_date") < window.as_of).select(
                "work_order_id", booked=kpi.day(pl.col("transaction_date")), material=net
            ),
            labor.filter(pl.col("clock_in_time") < window.as_of).select(
                "work_order_id", booked=kpi.day(pl.col("clock_in_time")), labor=pl.col("labor_cost").cast(EXACT)
            ),
        ],
        how="diagonal",
    )
    return booked.group_by("work_order_id", "booked").agg(pl.col("material", "labor").sum())


def _values(orders: pl.LazyFrame, bookings: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """What was on the lines at the start and the end of each day, and what came and went."""
    entered = pl.coalesce("started", "completed")
    placed = orders.join(bookings, on="work_order_id", how="inner").with_columns(
        # min_horizontal passes over the NULL of an order that is not completed
        booked=pl.min_horizontal(pl.max_horizontal("booked", entered), "completed"),
        value=pl.col("material") + pl.col("labor"),
    )
    booked, completed, value = pl.col("booked"), pl.col("completed"), pl.col("value")
    return (
        pl.concat(
            [
                _each_day(placed, booked, completed - DAY, window).select(
                    *_KEY, closing_material_inr="material", closing_labor_inr="labor"
                ),
                _each_day(placed, booked + DAY, completed, window).select(*_KEY, opening_value_inr=value),
                placed.filter(_within(booked, window)).with_columns(day=booked).select(*_KEY, added_value_inr=value),
                placed.filter(_within(completed, window))
                .with_columns(day=completed)
                .select(*_KEY, completed_value_inr=value),
            ],
            how="diagonal",
        )
        .group_by(_KEY)
        .agg(pl.exclude(_KEY).sum())
    )


def _output(work_orders: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """`good_quantity` of the orders completed on the last seven days up to each day."""
    completed = completed_orders(work_orders, replace(window, first=window.first - _AVERAGED)).select(
        "day",
        "good_quantity",
        line_id=kpi.key(pl.col("line_id")),
        product_id=kpi.key(pl.col("product_id")),
    )
    return over_days(completed, _AVERAGED_DAYS).group_by(_KEY).agg(pl.col("good_quantity").sum())
