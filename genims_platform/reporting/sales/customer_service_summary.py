"""customer_service_summary: service level per customer, backlog and satisfaction."""

from typing import Annotated

import polars as pl

from genims_platform.reporting import kpi
from genims_platform.reporting.accounts import customers_of_accounts
from genims_platform.reporting.checks import Checks, Expectation, Reconciliation, sql
from genims_platform.reporting.periods import DAY, LATE_DAYS, Window
from genims_platform.reporting.table import reporting_table
from genims_platform.sources.reader import Read, Sources
from genims_platform.sources.scope import Between, KeyIn, Unended, Until

_KEY = ("service_date", "customer_id")
_WITH_EVENT = Between("created_at") | Between("resolved_datetime") | Between("closed_datetime")
_OPEN = Until("created_at") & Unended("resolved_datetime") & Unended("closed_datetime")
_URGENT = ("critical", "urgent")
_SATISFIED = (4, 5)

_ACCOUNTS_OF_DAYS = sql(
    "service",
    """
    SELECT created_at::date AS service_date, account_id FROM service_tickets
    WHERE created_at >= %(start)s AND created_at < %(end)s
    UNION
    SELECT resolved_datetime::date, account_id FROM service_tickets
    WHERE resolved_datetime >= %(start)s AND resolved_datetime < %(end)s
    UNION
    SELECT closed_datetime::date, account_id FROM service_tickets
    WHERE closed_datetime >= %(start)s AND closed_datetime < %(end)s
    UNION
    SELECT day::date, account_id
    FROM generate_series(%(first_day)s::timestamp, %(last_day)s::timestamp, interval '1 day') day
    JOIN service_tickets ON created_at < least(day + interval '1 day', %(end)s)
      AND (resolved_datetime IS NULL OR resolved_datetime >= least(day + interval '1 day', %(end)s))
      AND (closed_datetime IS NULL OR closed_datetime >= least(day + interval '1 day', %(end)s))
    WHERE created_at < %(end)s AND (resolved_datetime IS NULL OR resolved_datetime >= %(start)s)
      AND (closed_datetime IS NULL OR closed_datetime >= %(start)s)
    """,
)
_CUSTOMERS = sql("crm", "SELECT account_id, customer_id FROM accounts WHERE btrim(customer_id) <> ''")
# What opens and what ends on each day, after what was open before: a second way to the backlog of a day.
_TICKETS = sql(
    "service",
    """
    WITH flow AS (
      SELECT created_at::date AS day, 1 AS created, 0 AS resolved, 0 AS closed, 1 AS change
      FROM service_tickets WHERE created_at >= %(start)s AND created_at < %(end)s
      UNION ALL
      SELECT resolved_datetime::date, 0, 1, 0, 0
      FROM service_tickets WHERE resolved_datetime >= %(start)s AND resolved_datetime < %(end)s
      UNION ALL
      SELECT closed_datetime::date, 0, 0, 1, 0
      FROM service_tickets WHERE closed_datetime >= %(start)s AND closed_datetime < %(end)s
      UNION ALL
      SELECT %(first_day)s, 0, 0, 0, 1
      FROM service_tickets
      WHERE created_at < %(start)s AND (resolved_datetime IS NULL OR resolved_datetime >= %(start)s)
        AND (closed_datetime IS NULL OR closed_datetime >= %(start)s)
      UNION ALL
      SELECT ended::date, 0, 0, 0, -1
      FROM (
        SELECT greatest(created_at, least(resolved_datetime, closed_datetime)) AS ended
        FROM service_tickets
        WHERE created_at < %(end)s AND (resolved_datetime < %(end)s OR closed_datetime < %(end)s)
          AND (created_at >= %(start)s OR resolved_datetime >= %(start)s OR closed_datetime >= %(start)s)
      ) ends
      WHERE ended >= %(start)s AND ended < %(end)s
    )
    SELECT day::date AS service_date, sum(created) AS tickets_created, sum(resolved) AS tickets_resolved,
      sum(closed) AS tickets_closed, sum(sum(change)) OVER (ORDER BY day) AS backlog_open
    FROM (
      SELECT * FROM flow
      UNION ALL
      SELECT day::date, 0, 0, 0, 0
      FROM generate_series(%(first_day)s::timestamp, %(last_day)s::timestamp, interval '1 day') day
    ) days
    GROUP BY day
    """,
)
_CREATION_DAYS_OF_RESPONSES = sql(
    "service",
    """
    SELECT DISTINCT created_at::date FROM service_tickets
    WHERE created_at < %(as_of)s AND (
      first_response_datetime >= %(start)s AND first_response_datetime < %(end)s
      OR response_due_datetime >= %(start)s AND response_due_datetime < %(end)s
    )
    """,
)
_CLAIMS_WITHOUT_ROW = sql(
    "service",
    """
    SELECT count(*)
    FROM warranty_claims c LEFT JOIN service_tickets claimed USING (ticket_id)
    WHERE c.claim_date BETWEEN %(first_day)s AND %(last_day)s AND NOT EXISTS (
      SELECT FROM service_tickets t
      WHERE t.account_id = claimed.account_id AND t.created_at < c.claim_date + 1
        AND coalesce(greatest(t.resolved_datetime, t.closed_datetime), 'infinity') >= c.claim_date
    )
    """,
)


def _customers_of_days(sources: Sources, window: Window) -> pl.DataFrame:
    accounts, customers = _ACCOUNTS_OF_DAYS(sources, window), _CUSTOMERS(sources, window)
    if accounts.is_empty() or customers.is_empty():
        return accounts.rename({"account_id": "customer_id"}, strict=False)
    texts = pl.all().cast(pl.String)  # an answer of NULLs alone has no type
    account, customer = customers.select(texts).get_columns()
    raw = pl.col("account_id").cast(pl.String)
    return accounts.select("service_date", customer_id=raw.replace_strict(account, customer, default=raw))


_CHECKS = Checks(
    rows=_customers_of_days,
    reconcile=(Reconciliation("tickets_vs_service", _TICKETS),),
    orphans={"customer_id": "customer_name"},
    left_out={"warranty claims of customers without a ticket on the day": _CLAIMS_WITHOUT_ROW},
    warnings=(
        Expectation("first response before the ticket", pl.col("avg_first_response_minutes") >= 0),
        Expectation("resolution before the ticket", pl.col("avg_resolution_minutes") >= 0),
    ),
)


@reporting_table(
    group="sales",
    recompute=1,
    horizon=14,
    rolling_days=LATE_DAYS + 1,  # a ticket that comes late is open on all days after it
    touched=_CREATION_DAYS_OF_RESPONSES,
    checks=_CHECKS,
)
def customer_service_summary(
    *,
    window: Window,
    tickets: Annotated[pl.LazyFrame, Read("service.service_tickets", _WITH_EVENT | _OPEN)],
    claims: Annotated[pl.LazyFrame, Read("service.warranty_claims", Between("claim_date"))],
    claimed_tickets: Annotated[
        pl.LazyFrame,
        Read("service.service_tickets", KeyIn("ticket_id", "warranty_claims", "ticket_id", Between("claim_date"))),
    ],
    accounts: Annotated[pl.LazyFrame, Read("crm.accounts")],
    customers: Annotated[pl.LazyFrame, Read("master.customers")],
) -> pl.LazyFrame:
    """Tickets and their backlog; one row a day and customer with a ticket created, resolved, closed or still open.

    A ticket counts on each day on which something happens to it, by its dates, whatever its status says. It is open
    from its creation until it is resolved or closed, whichever comes first, so that the backlog of a day is that of the
    day before plus created minus ended tickets. First responses belong to the day of creation; what is neither answered
    nor due yet is left out of their share. Durations are elapsed minutes (time to resolve as MTTR), percentages of
    tickets 0..100; first contact resolution: neither escalated nor reopened. Claims in INR, by the customer of their
    ticket, are shown for customers with a row. Without a customer, the account itself is the key.
    """
    tickets = _of_customers(tickets, accounts).select(*_TICKET).cache()
    facts = [
        _created(tickets, window),
        _resolved(tickets, window),
        _on_day_of(tickets, "closed_datetime", window).select(*_KEY, "ticket_id", closed=pl.lit(1)),
        _backlog(tickets, window),
    ]
    claimed = _of_customers(claims.join(claimed_tickets.select("ticket_id", "account_id"), on="ticket_id"), accounts)
    warranty = (
        claimed.filter(pl.col("claim_date") <= window.last_day)
        .group_by("customer_id", service_date="claim_date")
        .agg(warranty_claims=pl.len(), warranty_amount_inr=kpi.total(pl.col("total_claim_amount")))
    )
    return (
        pl.concat(facts, how="diagonal_relaxed")
        .group_by(_KEY)
        .agg(
            tickets_created=pl.col("created").sum(),
            tickets_resolved=pl.col("resolved").sum(),
            tickets_closed=pl.col("closed").sum(),
            backlog_open=pl.col("open").sum(),
            backlog_overdue=pl.col("overdue").sum(),
            response_sla_met_pct=100 * pl.col("response_met").mean(),
            resolution_sla_met_pct=100 * pl.col("resolution_met").mean(),
            avg_first_response_minutes=pl.col("response_minutes").mean(),
            avg_resolution_minutes=pl.col("resolution_minutes").mean(),
            p90_resolution_minutes=pl.col("resolution_minutes").quantile(0.9, "linear"),
            escalated_count=pl.col("escalated").sum(),
            reopened_count=pl.col("reopened").sum(),
            fcr_pct=100 * pl.col("first_contact").mean(),
            urgent_created=pl.col("urgent").sum(),
            complaints_created=pl.col("complaint").sum(),
            csat_responses=pl.col("csat_rating").count(),
            csat_avg=pl.col("csat_rating").mean(),
            csat_satisfied_pct=100 * pl.col("csat_rating").is_in(_SATISFIED).mean(),
            source_row_count=pl.col("ticket_id").drop_nulls().n_unique(),
        )
        .join(warranty, on=_KEY, how="left")
        .join(customers.select("customer_id", "customer_name"), on="customer_id", how="left")
        .with_columns(pl.col("warranty_claims").fill_null(0))
    )


_TICKET = (
    "customer_id",
    "ticket_id",
    "created_at",
    "resolved_datetime",
    "closed_datetime",
    "first_response_datetime",
    "response_due_datetime",
    "resolution_due_datetime",
    "escalation_level",
    "reopened_count",
    "priority",
    "ticket_type",
    "csat_rating",
)


def _of_customers(rows: pl.LazyFrame, accounts: pl.LazyFrame) -> pl.LazyFrame:
    return rows.join(customers_of_accounts(accounts), on="account_id", how="left").with_columns(
        customer_id=kpi.key(pl.coalesce("customer_id", "account_id"))
    )


def _on_day_of(tickets: pl.LazyFrame, event: str, window: Window) -> pl.LazyFrame:
    span = window.span
    return tickets.filter(pl.col(event).is_between(span.start, span.end, closed="left")).with_columns(
        service_date=kpi.day(pl.col(event))
    )


def _created(tickets: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Tickets created, with the first responses known at the time of the run."""
    created, due = pl.col("created_at"), pl.col("response_due_datetime")
    response = pl.when(pl.col("first_response_datetime") < window.as_of).then(pl.col("first_response_datetime"))
    judged = response.is_not_null() | (due < window.as_of)
    return _on_day_of(tickets, "created_at", window).select(
        *_KEY,
        "ticket_id",
        created=pl.lit(1),
        response_met=pl.when(judged & due.is_not_null()).then((response <= due).fill_null(value=False)),
        response_minutes=_minutes(response - created),
        escalated=pl.col("escalation_level") > 0,
        reopened="reopened_count",
        urgent=pl.col("priority").is_in(_URGENT),
        complaint=pl.col("ticket_type") == "complaint",
    )


def _resolved(tickets: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    resolved = pl.col("resolved_datetime")
    return _on_day_of(tickets, "resolved_datetime", window).select(
        *_KEY,
        "ticket_id",
        "csat_rating",
        resolved=pl.lit(1),
        resolution_met=resolved <= pl.col("resolution_due_datetime"),
        resolution_minutes=_minutes(resolved - pl.col("created_at")),
        first_contact=(pl.col("escalation_level") == 0) & (pl.col("reopened_count") == 0),
    )


def _backlog(tickets: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Tickets open, and overdue, at the end of each day, or now if the day is not over."""
    day, created = pl.col("service_date"), pl.col("created_at")
    ended = pl.min_horizontal("resolved_datetime", "closed_datetime")
    last = pl.when(ended < window.span.end).then(kpi.day(ended) - DAY).otherwise(pl.lit(window.last_day))
    first = pl.max_horizontal(kpi.day(created), pl.lit(window.first))
    until = pl.min_horizontal((day + DAY).cast(pl.Datetime("us")), pl.lit(window.as_of))
    return (
        tickets.filter(created < window.span.end)
        .with_columns(first=first, last=last)
        .filter(pl.col("first") <= pl.col("last"))
        .with_columns(service_date=pl.date_ranges("first", "last"))
        .explode("service_date")
        .group_by(_KEY)
        .agg(open=pl.len(), overdue=(pl.col("resolution_due_datetime") < until).sum())
    )


def _minutes(duration: pl.Expr) -> pl.Expr:
    return duration.dt.total_seconds(fractional=True) / 60
