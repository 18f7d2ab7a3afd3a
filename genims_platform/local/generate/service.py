"""Customer service: tickets with their service levels, surveys, warranty and service parts."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from genims_platform.local.generate import draw
from genims_platform.local.generate.plan import Plan, identifiers
from genims_platform.local.generate.world import World

_PRIORITIES = {"low": 25, "medium": 42, "high": 20, "urgent": 5, "critical": 8}
_TYPES = {"incident": 35, "question": 25, "service_request": 22, "complaint": 13, "feedback": 5}

# Priority → service level and its response and resolution limits in minutes.
_SERVICE_LEVELS = pl.DataFrame(
    {
        "priority": list(_PRIORITIES),
        "sla_id": ["SLA-000004", "SLA-000003", "SLA-000002", "SLA-000001", "SLA-000001"],
        "response_minutes": [480, 240, 120, 30, 30],
        "resolution_minutes": [4320, 1440, 480, 240, 240],
    }
)


def tables(world: World, plan: Plan) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield the service tables that reports and audit depend on."""
    tickets = _tickets(world, plan)
    yield "service.service_tickets", tickets.drop("response_minutes", "resolution_minutes")
    yield "service.sla_definitions", _sla_definitions()
    yield "service.ticket_comments", _comments(tickets, plan)
    yield "service.ticket_escalations", _escalations(tickets, plan)
    yield "service.survey_responses", _survey_responses(tickets, plan)
    appointments = _appointments(tickets, plan)
    yield "service.field_service_appointments", appointments
    yield "service.warranty_claims", _warranty_claims(tickets, plan)
    parts = _parts(plan)
    yield "service.service_parts", parts
    yield "service.service_parts_usage", _parts_usage(parts, appointments, plan)


def _tickets(world: World, plan: Plan) -> pl.DataFrame:
    rng, count = plan.rng("service.service_tickets"), plan.rows("service.service_tickets")
    accounts = world.accounts["account_id"]
    account = rng.choice(len(accounts), count, p=draw.uneven(rng, len(accounts), 4))
    frame = pl.DataFrame(
        {
            "ticket_id": identifiers("service.service_tickets", count),
            "account_id": accounts.gather(account),
            "ticket_type": draw.codes(rng, _TYPES, count),
            "priority": draw.codes(rng, _PRIORITIES, count),
            "created_at": plan.instants(rng, count),
            "answered_share": draw.skewed(rng, 0.45, 0.65, count),
            "resolved_share": draw.skewed(rng, 0.5, 0.75, count),
            "never": draw.true_share(rng, 0.02, count),
            "closing_hours": rng.integers(2, 72, count),
            "escalation_level": rng.choice(4, count, p=[0.8, 0.13, 0.05, 0.02]),
            "reopened_count": rng.choice(4, count, p=[0.92, 0.06, 0.015, 0.005]),
            "rating_drawn": rng.choice([1, 2, 3, 4, 5], count, p=[0.02, 0.05, 0.13, 0.4, 0.4]),
            "rated": draw.true_share(rng, 0.6, count),
            "waiting": draw.codes(
                rng, {"new": 1, "assigned": 3, "in_progress": 5, "pending_customer": 2, "on_hold": 1}, count
            ),
        }
    ).join(_SERVICE_LEVELS, on="priority", how="left", maintain_order="left")
    created, until = pl.col("created_at"), pl.lit(plan.end)
    answered = created + _minutes("answered_share", "response_minutes")
    resolved = answered + _minutes("resolved_share", "resolution_minutes")
    closed = resolved + pl.duration(hours="closing_hours")
    breached = pl.col("resolved_datetime") > pl.col("resolution_due_datetime")
    return (
        frame.with_columns(
            response_due_datetime=created + pl.duration(minutes="response_minutes"),
            resolution_due_datetime=created + pl.duration(minutes="resolution_minutes"),
            first_response_datetime=pl.when(answered <= until).then(answered),
            resolved_datetime=pl.when(resolved <= until, ~pl.col("never")).then(resolved),
            closed_datetime=pl.when(closed <= until, ~pl.col("never")).then(closed),
            assigned_datetime=created,
        )
        .with_columns(
            response_sla_breached=pl.col("first_response_datetime") > pl.col("response_due_datetime"),
            resolution_sla_breached=breached,
            first_response_time_minutes=(pl.col("first_response_datetime") - created).dt.total_minutes(),
            resolution_time_minutes=(pl.col("resolved_datetime") - created).dt.total_minutes(),
            csat_rating=pl.when(pl.col("resolved_datetime").is_not_null(), pl.col("rated")).then(
                (pl.col("rating_drawn") - breached.cast(pl.Int64)).clip(1, 5)
            ),
            ticket_status=pl.when(pl.col("closed_datetime").is_not_null())
            .then(pl.lit("closed"))
            .when(pl.col("resolved_datetime").is_not_null())
            .then(pl.lit("resolved"))
            .otherwise("waiting"),
            updated_at=pl.max_horizontal("created_at", "resolved_datetime", "closed_datetime"),
        )
        .drop("answered_share", "resolved_share", "never", "closing_hours", "rating_drawn", "rated", "waiting")
    )


def _minutes(share: str, limit: str) -> pl.Expr:
    return pl.duration(seconds=(pl.col(share) * pl.col(limit) * 60).cast(pl.Int64))


def _sla_definitions() -> pl.DataFrame:
    levels = _SERVICE_LEVELS.unique("sla_id", keep="first").sort("sla_id")
    return levels.select(
        "sla_id",
        "priority",
        sla_code=pl.col("sla_id").str.replace("-000", "-"),
        sla_name=pl.lit("Service level ") + pl.col("priority"),
        response_time_minutes="response_minutes",
        resolution_time_minutes="resolution_minutes",
        response_time_unit=pl.lit("minutes"),
        resolution_time_unit=pl.lit("minutes"),
        is_active=True,
    )


def _comments(tickets: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    rng, count = plan.rng("service.ticket_comments"), plan.rows("service.ticket_comments")
    of_ticket = tickets[np.sort(rng.integers(0, len(tickets), count))]
    written = pl.col("created_at") + pl.duration(minutes=pl.lit(pl.Series(rng.integers(5, 4000, count))))
    return of_ticket.select(
        "ticket_id",
        comment_id=pl.lit(identifiers("service.ticket_comments", count)),
        comment_text=pl.lit(
            draw.picks(
                rng,
                (
                    "Customer confirmed the delivery address.",
                    "Asked for the serial number and a photo of the part.",
                    "Replacement is on its way.",
                    "Checked with quality: batch is within tolerance.",
                    "Invoice corrected and sent again.",
                    "Waiting for the customer's maintenance window.",
                ),
                count,
            )
        ),
        created_at=pl.min_horizontal(written, pl.lit(plan.end)),
    )


def _escalations(tickets: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    rng = plan.rng("service.ticket_escalations")
    steps = (
        tickets.filter(pl.col("escalation_level") > 0)
        .select("ticket_id", "created_at", level=pl.int_ranges(1, pl.col("escalation_level") + 1))
        .explode("level")
    )
    escalated = pl.col("created_at") + pl.duration(hours=pl.col("level") * 6)
    return steps.select(
        "ticket_id",
        escalation_id=pl.lit(identifiers("service.ticket_escalations", len(steps))),
        escalation_level="level",
        escalated_at=pl.min_horizontal(escalated, pl.lit(plan.end)),
        de_escalated=pl.lit(pl.Series(draw.true_share(rng, 0.3, len(steps)))),
    )


def _survey_responses(tickets: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    rng = plan.rng("service.survey_responses")
    answered = tickets.filter(pl.col("csat_rating").is_not_null())
    count = min(plan.rows("service.survey_responses"), len(answered))
    answered = answered[np.sort(rng.choice(len(answered), count, replace=False))]
    mood = rng.normal(0.4, 1.3, count)
    responded = pl.col("resolved_datetime") + pl.duration(hours=pl.lit(pl.Series(rng.integers(1, 96, count))))
    return answered.select(
        "account_id",
        "ticket_id",
        "csat_rating",
        response_id=pl.lit(identifiers("service.survey_responses", count)),
        survey_id=pl.lit(draw.keys(rng, plan, "service.customer_surveys", count)),
        nps_score=(pl.col("csat_rating") * 2 + pl.lit(pl.Series(mood))).round().clip(0, 10).cast(pl.Int32),
        ces_score=pl.lit(pl.Series(rng.integers(1, 8, count))),
        responded_at=pl.min_horizontal(responded, pl.lit(plan.end)),
    ).with_columns(created_at="responded_at")


def _appointments(tickets: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    rng, count = plan.rng("service.appointments"), plan.rows("service.field_service_appointments")
    of_ticket = tickets[np.sort(rng.integers(0, len(tickets), count))]
    day = pl.col("created_at").dt.date() + pl.duration(days=pl.lit(pl.Series(rng.integers(1, 15, count))))
    return of_ticket.select(
        "ticket_id",
        "account_id",
        "created_at",
        appointment_id=pl.lit(identifiers("service.field_service_appointments", count)),
        appointment_date=day,
        appointment_status=pl.when(day <= plan.end.date()).then(pl.lit("completed")).otherwise(pl.lit("scheduled")),
    )


def _warranty_claims(tickets: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    rng = plan.rng("service.warranty_claims")
    count = min(plan.rows("service.warranty_claims"), len(tickets))
    claimed = tickets[np.sort(rng.choice(len(tickets), count, replace=False))]
    labor, parts = draw.skewed(rng, 2_500, 0.6, count).round(2), draw.skewed(rng, 7_000, 0.8, count).round(2)
    status = draw.codes(rng, {"approved": 70, "rejected": 15, "pending": 15}, count)
    return claimed.select(
        "ticket_id",
        claim_id=pl.lit(identifiers("service.warranty_claims", count)),
        claim_date=pl.min_horizontal(pl.col("created_at").dt.date() + pl.duration(days=1), pl.lit(plan.end.date())),
        claim_status=pl.lit(status),
        approved=pl.lit(status) == "approved",
        labor_cost=pl.lit(pl.Series(labor)),
        parts_cost=pl.lit(pl.Series(parts)),
        total_claim_amount=pl.lit(pl.Series(labor + parts)),
    ).with_columns(processed_date="claim_date")


def _parts(plan: Plan) -> pl.DataFrame:
    rng, count = plan.rng("service.service_parts"), plan.rows("service.service_parts")
    cost = draw.skewed(rng, 3_200, 0.9, count).round(2)
    minimum = rng.integers(5, 21, count)
    return pl.DataFrame(
        {
            "service_part_id": identifiers("service.service_parts", count),
            "part_category": draw.codes(rng, {"consumable": 3, "repairable": 2, "replacement": 5}, count),
            "current_stock": np.where(rng.random(count) < 0.15, rng.integers(0, 8, count), rng.integers(15, 99, count)),
            "min_stock_level": minimum,
            "reorder_point": minimum + rng.integers(3, 12, count),
            "standard_cost": cost,
            "service_price": (cost * rng.uniform(1.3, 1.7, count)).round(2),
            "is_active": np.ones(count, dtype=bool),
        }
    )


def _parts_usage(parts: pl.DataFrame, appointments: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    rng, count = plan.rng("service.service_parts_usage"), plan.rows("service.service_parts_usage")
    part = parts[rng.choice(len(parts), count, p=draw.uneven(rng, len(parts)))]
    quantity = pl.lit(pl.Series(rng.choice([1, 2, 3, 4, 5], count, p=[0.6, 0.22, 0.1, 0.05, 0.03])))
    cost = (pl.col("standard_cost") * pl.lit(pl.Series(rng.uniform(0.97, 1.05, count)))).round(4)
    return part.select(
        "service_part_id",
        usage_id=pl.lit(identifiers("service.service_parts_usage", count)),
        quantity_used=quantity,
        unit_cost=cost,
        total_cost=quantity * cost,
        appointment_id=pl.lit(draw.picks(rng, appointments["appointment_id"], count)),
        usage_date=pl.lit(pl.Series(plan.working_days(rng, count))),
    )
