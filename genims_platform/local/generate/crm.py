"""Customer relations: accounts, representatives and their quotas, leads, opportunities, quotations."""

from collections.abc import Iterator
from datetime import date

import numpy as np
import polars as pl

from genims_platform.local.generate import draw
from genims_platform.local.generate.columns import document_numbers
from genims_platform.local.generate.plan import Plan, identifiers
from genims_platform.local.generate.world import World

_OPEN_STAGES = ("prospecting", "qualification", "proposal", "negotiation")
_PROBABILITY = {
    "prospecting": 10,
    "qualification": 25,
    "proposal": 50,
    "negotiation": 75,
    "closed_won": 100,
    "closed_lost": 0,
}
_SALES_DIRECTORS_STRETCH = 1.04
"""Quotas are set this much above what is expected."""


def tables(world: World, plan: Plan) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield the CRM tables that reports and audit depend on."""
    rng = plan.rng("crm.accounts")
    limits = draw.skewed(rng, 9_000_000, 0.5, len(world.accounts)).round(-5)
    yield "crm.accounts", world.select("crm.accounts").with_columns(credit_limit=pl.Series(limits))
    yield "crm.sales_reps", _sales_reps(world, plan)
    yield "crm.sales_forecasts", _forecasts(world, plan)
    yield "crm.leads", _leads(plan)
    opportunities = _opportunities(world, plan)
    yield "crm.opportunities", opportunities
    yield "crm.opportunity_stage_history", _stage_history(opportunities)
    quotations = _quotations(opportunities, plan)
    yield "crm.quotations", quotations
    yield "crm.quotation_lines", _lines(quotations, plan, "crm.quotation_lines", "total_amount")
    yield "crm.opportunity_products", _lines(opportunities, plan, "crm.opportunity_products", "amount")


def _sales_reps(world: World, plan: Plan) -> pl.DataFrame:
    rng, count = plan.rng("crm.sales_reps"), plan.rows("crm.sales_reps")
    reps = identifiers("crm.sales_reps", count)
    role = draw.codes(rng, {"AE": 4, "SDR": 3, "SE": 2, "AM": 2}, count)
    return pl.DataFrame(
        {
            "sales_rep_id": reps,
            "sales_role": pl.select(
                pl.when(pl.lit(reps).is_in(world.accounts["account_owner"].implode()))
                .then(pl.lit("AM"))
                .otherwise(pl.lit(role))
            ).to_series(),
            "territory_id": draw.keys(rng, plan, "crm.sales_territories", count),
            "win_rate_pct": rng.uniform(18, 45, count).round(2),
        }
    )


def _forecasts(world: World, plan: Plan) -> pl.DataFrame:
    """A quarterly quota for every representative in every quarter of the span."""
    rng = plan.rng("crm.sales_forecasts")
    owners = world.accounts.select("customer_id", sales_rep_id="account_owner")
    first = date(plan.start.year, (plan.start.month - 1) // 3 * 3 + 1, 1)
    quarters = pl.date_range(first, plan.end.date(), "1q", eager=True).alias("quarter").to_frame()
    days = max((plan.end - plan.start).days, 1)
    # A quarter of the mean daily intake, so that quarters cut off by the span get a full quota as well.
    expected = (
        world.sales_orders.join(owners, on="customer_id", how="left")
        .group_by("sales_rep_id")
        .agg(expected=pl.col("total_net_value").cast(pl.Float64).sum() / days * 91.3 * _SALES_DIRECTORS_STRETCH)
    )
    frame = (
        quarters.join(
            pl.DataFrame({"sales_rep_id": identifiers("crm.sales_reps", plan.rows("crm.sales_reps"))}), how="cross"
        )
        .sort("quarter", "sales_rep_id")
        .join(expected, on="sales_rep_id", how="left", maintain_order="left")
    )
    noise = pl.Series(rng.uniform(0.88, 1.12, len(frame)))
    quota = (pl.col("expected").fill_null(250_000.0) * noise / 1000).round() * 1000
    return frame.select(
        "sales_rep_id",
        forecast_id=pl.lit(identifiers("crm.sales_forecasts", len(frame))),
        forecast_period=pl.lit("quarterly"),
        forecast_year=pl.col("quarter").dt.year(),
        forecast_quarter=pl.col("quarter").dt.quarter(),
        quota_amount=quota,
        total_forecast=(quota * 0.97).round(2),
        snapshot_date="quarter",
    )


def _leads(plan: Plan) -> pl.DataFrame:
    rng, count = plan.rng("crm.leads"), plan.rows("crm.leads")
    created = pl.Series("created_at", plan.instants(rng, count))
    score = np.clip(rng.normal(52, 22, count), 0, 100).round().astype(int)
    mature = (plan.end - created) > pl.duration(days=21)
    status = pl.Series(draw.codes(rng, {"new": 45, "contacted": 40, "qualified": 15}, count))
    outcome = draw.codes(rng, {"converted": 22, "unqualified": 41, "qualified": 20, "contacted": 17}, count)
    return pl.DataFrame({"created_at": created, "lead_score": score, "fresh": status, "outcome": outcome}).select(
        "created_at",
        "lead_score",
        lead_id=pl.lit(identifiers("crm.leads", count)),
        lead_number=pl.lit(document_numbers("LEAD", created)),
        lead_status=pl.when(mature).then("outcome").otherwise("fresh"),
        converted=mature & (pl.col("outcome") == "converted"),
        estimated_deal_value=pl.lit(pl.Series(draw.skewed(rng, 1_800_000, 0.8, count).round(2))),
        updated_at="created_at",
    )


def _opportunities(world: World, plan: Plan) -> pl.DataFrame:
    rng, count = plan.rng("crm.opportunities"), plan.rows("crm.opportunities")
    created = pl.Series("created_at", plan.instants(rng, count))
    account = world.accounts[rng.choice(len(world.accounts), count, p=draw.uneven(rng, len(world.accounts), 5))]
    frame = pl.DataFrame(
        {
            "opportunity_id": identifiers("crm.opportunities", count),
            "account_id": account["account_id"],
            "account_owner": account["account_owner"],
            "other_owner": draw.keys(rng, plan, "crm.sales_reps", count),
            "owner_draw": rng.random(count),
            "amount": draw.skewed(rng, 3_200_000, 0.7, count).round(2),
            "created_at": created,
            "days_to_close": rng.integers(15, 150, count),
            "late": draw.true_share(rng, 0.06, count),
            "won": draw.true_share(rng, 0.41, count),
            "progress": rng.random(count),
            "product_category": draw.picks(rng, world.products["product_category"], count),
        }
    ).with_columns(close_date=pl.col("created_at").dt.date() + pl.duration(days="days_to_close"))
    decided = (pl.col("close_date") <= plan.end.date()) & ~pl.col("late")
    age = (pl.lit(plan.end) - pl.col("created_at")).dt.total_days() / pl.col("days_to_close")
    step = ((age.clip(0, 1) * 0.6 + pl.col("progress") * 0.4) * 3.99).floor().cast(pl.Int64).clip(0, 3)
    stage = (
        pl.when(decided & pl.col("won"))
        .then(pl.lit("closed_won"))
        .when(decided)
        .then(pl.lit("closed_lost"))
        .otherwise(step.replace_strict(dict(enumerate(_OPEN_STAGES))))
    )
    return frame.with_columns(
        stage=stage,
        is_closed=decided,
        opportunity_owner=pl.when(pl.col("owner_draw") < 0.55)
        .then("account_owner")
        .when(pl.col("owner_draw") < 0.97)
        .then("other_owner"),
        updated_at="created_at",
    ).select(
        pl.exclude("account_owner", "other_owner", "owner_draw", "days_to_close", "late", "won", "progress"),
        probability_pct=pl.col("stage").replace_strict(_PROBABILITY),
        actual_close_date=pl.when("is_closed").then("close_date"),
    )


def _stage_history(opportunities: pl.DataFrame) -> pl.DataFrame:
    """The step into the present stage of every opportunity that left the first one."""
    moved = opportunities.filter(pl.col("stage") != "prospecting")
    return moved.select(
        "opportunity_id",
        history_id=pl.lit(identifiers("crm.opportunity_stage_history", len(moved))),
        from_stage=pl.lit("prospecting"),
        to_stage="stage",
        changed_at="created_at",
    )


def _quotations(opportunities: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    rng = plan.rng("crm.quotations")
    count = min(plan.rows("crm.quotations"), len(opportunities))
    quoted = opportunities[np.sort(rng.choice(len(opportunities), count, replace=False))]
    day = pl.min_horizontal(
        pl.col("created_at").dt.date() + pl.duration(days=pl.lit(pl.Series(rng.integers(2, 20, count)))),
        pl.lit(plan.end.date()),
    )
    valid = pl.duration(days=pl.lit(pl.Series(rng.choice([30, 45, 60], count))))
    dollars = pl.lit(pl.Series(draw.true_share(rng, 0.1, count)))
    lost = draw.codes(rng, {"rejected": 6, "expired": 4}, count)
    return quoted.select(
        identifiers("crm.quotations", count),
        "opportunity_id",
        "account_id",
        quotation_date=day,
        valid_until_date=day + valid,
        quotation_status=pl.when(pl.col("stage") == "closed_won")
        .then(pl.lit("accepted"))
        .when(pl.col("stage") == "closed_lost")
        .then(pl.lit(lost))
        .otherwise(pl.lit("sent")),
        converted=pl.col("stage") == "closed_won",
        total_amount=(pl.col("amount") / pl.when(dollars).then(83.0).otherwise(1.0)).round(2),
        currency=pl.when(dollars).then(pl.lit("USD")).otherwise(pl.lit("INR")),
        created_at=day.cast(pl.Datetime("us")),
    )


def _lines(documents: pl.DataFrame, plan: Plan, reference: str, amount: str) -> pl.DataFrame:
    """Two lines a document (whose key is its first column), which add up to its amount."""
    rng, key = plan.rng(reference), documents.columns[0]
    share = pl.lit(pl.Series(rng.uniform(0.3, 0.7, len(documents))))
    first = (pl.col(amount) * share).round(2)
    lines = pl.concat(
        [
            documents.select(key, line_number=pl.lit(1), line_total=first),
            documents.select(key, line_number=pl.lit(2), line_total=pl.col(amount) - first),
        ]
    ).sort(key, "line_number")
    return lines.insert_column(0, identifiers(reference, len(lines)))
