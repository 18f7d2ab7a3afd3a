"""Master data that several domains share: plants, machines, products, partners, people, materials."""

from datetime import date, time, timedelta

import numpy as np
import polars as pl

from genims_platform.local.generate.plan import Plan, identifiers
from genims_platform.sources.catalogue import source_table

_FACTORIES = pl.DataFrame(
    {
        "factory_name": ["Chennai Works", "Detroit Plant", "Stuttgart Werk", "Yokohama Plant"],
        "city": ["Chennai", "Detroit", "Stuttgart", "Yokohama"],
        "region": ["Tamil Nadu", "Michigan", "Baden-Württemberg", "Kanto"],
        "country": ["India", "USA", "Germany", "Japan"],
        "timezone": ["Asia/Kolkata", "America/Detroit", "Europe/Berlin", "Asia/Tokyo"],
        "operational_since": [date(1996, 4, 1), date(1988, 9, 12), date(1979, 3, 5), date(2001, 7, 16)],
    }
)
_SHIFTS = pl.DataFrame(
    {
        "shift_name": ["shift_a", "shift_b", "shift_c", "general", "weekend_a", "weekend_b"],
        "shift_code": ["A", "B", "C", "G", "WA", "WB"],
        "start_time": [time(6), time(14), time(22), time(9), time(6), time(18)],
        "end_time": [time(14), time(22), time(6), time(17), time(18), time(6)],
        "duration_hours": [8.0, 8.0, 8.0, 8.0, 12.0, 12.0],
        "shift_type": ["regular"] * 4 + ["overtime"] * 2,
        "break_duration_minutes": [30] * 4 + [60] * 2,
        "days_of_week": ["mon,tue,wed,thu,fri"] * 4 + ["sat,sun"] * 2,
    }
)
_CATEGORIES = [
    *("engine_components", "transmission", "brake", "suspension"),
    *("steering", "electrical", "exhaust", "body_parts"),
]
_PART_NAMES = ["Housing", "Shaft", "Bracket", "Module", "Assembly"]
_INPUTS = ["Steel Rod", "Steel Sheet", "Aluminum Bar", "Copper Wire", "Plastic Pellet", "Rubber Compound"]
_COMPONENTS = ["Bearing", "Bolt", "Gasket", "Nut", "O-Ring", "Seal", "Spring", "Washer"]
LABOUR_RATE_INR = 300.0
"""Mean cost of a labour hour, INR."""


def choose(rng: np.random.Generator, choices: list[str], count: int, p: list[float] | None = None) -> np.ndarray:
    """`count` values drawn from `choices`."""
    return np.array(choices, dtype=object)[rng.choice(len(choices), count, p=p)]


def factories() -> pl.DataFrame:
    """Four plants, each with its time zone."""
    return _FACTORIES.select(identifiers("master.factories", 4), pl.all())


def shifts(factories_: pl.DataFrame) -> pl.DataFrame:
    """Six shifts a factory; `shift_a`, `shift_b` and `shift_c` cover the 24 hours of its local clock."""
    frame = factories_.select("factory_id").join(_SHIFTS, how="cross", maintain_order="left_right")
    return frame.insert_column(0, identifiers("master.shifts", len(frame)))


def lines(plan: Plan, factories_: pl.DataFrame) -> pl.DataFrame:
    """19 production lines; column `line_yield` is the share of pieces good at first pass."""
    rng = plan.rng("lines")
    count = plan.rows("master.production_lines")
    home = np.arange(count) * 4 // count
    number = np.arange(count) - np.array([np.argmax(home == h) for h in home]) + 1
    category = [_CATEGORIES[i % 8] for i in range(count)]
    return pl.DataFrame(
        {
            "line_id": identifiers("master.production_lines", count),
            "factory_id": factories_["factory_id"].gather(home),
            "line_name": [f"{c.replace('_', ' ').title()} Line {n}" for c, n in zip(category, number, strict=True)],
            "line_number": number,
            "product_category": category,
            "line_yield": rng.uniform(0.935, 0.985, count),
        }
    )


def machines(plan: Plan, lines_: pl.DataFrame) -> pl.DataFrame:
    """229 machines; `reliability` (0..1) and `load` (share of rated power while running) shape their readings."""
    rng = plan.rng("machines")
    count = plan.rows("master.machines")
    line = np.arange(count) * len(lines_) // count
    kinds = source_table("master.machines").columns
    types = next(list(column.values) for column in kinds if column.name == "machine_type")
    machine_type = choose(rng, types, count)
    return pl.DataFrame(
        {
            "machine_id": identifiers("master.machines", count),
            "line_id": lines_["line_id"].gather(line),
            "factory_id": lines_["factory_id"].gather(line),
            "machine_name": [f"{t.replace('_', ' ').title()} {i + 1:03d}" for i, t in enumerate(machine_type)],
            "machine_type": pl.Series(machine_type, dtype=pl.String),
            "design_capacity_units_per_hour": rng.integers(31, 201, count),
            "power_rating_kw": rng.uniform(6, 148, count).round(2),
            "asset_value_usd": rng.uniform(56_000, 1_490_000, count).round(2),
            "expected_life_years": rng.integers(15, 26, count),
            "installation_date": [
                plan.start.date() - timedelta(days=int(d)) for d in rng.integers(1_400, 5_800, count)
            ],
            "reliability": np.clip(rng.beta(6, 3, count), 0.2, 0.95),
            "load": rng.uniform(0.55, 0.85, count),
        }
    )


def products(plan: Plan, lines_: pl.DataFrame) -> pl.DataFrame:
    """35 products with their primary line and factory and the standard cost of a piece, INR."""
    rng = plan.rng("products")
    count = plan.rows("master.products")
    category = [_CATEGORIES[i % 8] for i in range(count)]
    home = [lines_.filter(pl.col("product_category") == c) for c in category]
    line = [candidates["line_id"][(i // 8) % len(candidates)] for i, candidates in enumerate(home)]
    cycle = rng.integers(9, 61, count) * 10
    cost = cycle / 3600 * LABOUR_RATE_INR + rng.lognormal(6.1, 0.55, count).clip(150, 1500)
    return pl.DataFrame(
        {
            "product_id": identifiers("master.products", count),
            "product_name": [
                f"{c.replace('_', ' ').title()} {_PART_NAMES[i // 8 % 5]} {i + 1:02d}" for i, c in enumerate(category)
            ],
            "product_category": category,
            "standard_cycle_time_seconds": cycle,
            "target_quality_ppm": rng.integers(86, 471, count),
            "unit_weight_kg": rng.uniform(0.4, 25, count).round(3),
            "standard_cost": cost.round(4),
            "line_id": line,
        }
    ).join(lines_.select("line_id", "factory_id"), on="line_id", how="left", maintain_order="left")


def materials(plan: Plan, products_: pl.DataFrame) -> pl.DataFrame:
    """200 materials: the finished ones first (linked by `product_id`), then raw, component, packaging, consumable."""
    rng = plan.rng("materials")
    finished, count = len(products_), plan.rows("erp.materials")
    kinds = ["finished_good"] * finished + ["raw_material"] * 60 + ["component"] * 70 + ["packaging"] * 20
    kinds += ["consumable"] * (count - len(kinds))
    group = {"finished_good": "FG", "raw_material": "RM", "component": "COMP", "packaging": "PKG", "consumable": "CONS"}
    nouns = {"raw_material": _INPUTS, "component": _COMPONENTS, "packaging": ["Carton"], "consumable": ["Lubricant"]}
    names = [f"{nouns[k][i % len(nouns[k])]} {i + 1:03d}" for i, k in enumerate(kinds) if k != "finished_good"]
    cost = np.concatenate([products_["standard_cost"].to_numpy(), rng.lognormal(3, 0.7, count - finished).clip(3, 180)])
    last_price = cost * rng.normal(1.02, 0.05, count).clip(0.9, 1.15)
    no_price = np.arange(count) < finished
    return pl.DataFrame(
        {
            "material_id": identifiers("erp.materials", count),
            "material_code": [f"{group[k]}-{i + 1:04d}" for i, k in enumerate(kinds)],
            "material_name": products_["product_name"].to_list() + names,
            "material_type": kinds,
            "product_id": products_["product_id"].to_list() + [None] * (count - finished),
            "base_unit_of_measure": ["KG" if k == "raw_material" else "EA" for k in kinds],
            "standard_cost": cost.round(4),
            "moving_average_cost": (cost * rng.normal(1, 0.02, count)).round(4),
            "last_purchase_price": pl.Series(last_price.round(4)).set(pl.Series(no_price), None),
            "lead_time_days": np.where(no_price, rng.integers(3, 12, count), rng.integers(5, 31, count)),
        }
    )


def bill_of_materials(plan: Plan, products_: pl.DataFrame, materials_: pl.DataFrame) -> pl.DataFrame:
    """Three or four inputs a product; `quantity_per` piece makes material and labour add up to the standard cost."""
    rng = plan.rng("bill_of_materials")
    inputs = materials_.filter(pl.col("material_type").is_in(["raw_material", "component"]))
    counts = rng.integers(3, 5, len(products_))
    product = np.repeat(np.arange(len(products_)), counts)
    pick = np.resize(rng.permutation(len(inputs)), len(product))
    weight = rng.uniform(0.5, 1.5, len(product))
    share = weight / np.bincount(product, weight)[product]
    labour = products_["standard_cycle_time_seconds"].to_numpy() / 3600 * LABOUR_RATE_INR
    material_value = (products_["standard_cost"].to_numpy() - labour)[product] * share
    unit_cost = inputs["standard_cost"].to_numpy()[pick]
    return pl.DataFrame(
        {
            "product_id": products_["product_id"].gather(product),
            "component_number": np.arange(len(product)) - np.repeat(np.cumsum(counts) - counts, counts),
            "material_id": inputs["material_id"].gather(pick),
            "material_code": inputs["material_code"].gather(pick),
            "material_name": inputs["material_name"].gather(pick),
            "material_type": inputs["material_type"].gather(pick),
            "unit_cost": unit_cost,
            "quantity_per": material_value / unit_cost,
        }
    )


def maintenance_assets(plan: Plan, machines_: pl.DataFrame) -> pl.DataFrame:
    """One maintenance asset a machine."""
    rng = plan.rng("maintenance_assets")
    cost = machines_["asset_value_usd"].to_numpy() * 83
    return machines_.select(
        identifiers("cmms.maintenance_assets", len(machines_)),
        "machine_id",
        "line_id",
        "factory_id",
        "reliability",
        asset_name="machine_name",
        downtime_cost_per_hour=pl.Series(rng.uniform(5_100, 49_600, len(machines_)).round(2)),
        purchase_cost=pl.Series(cost.round(2)),
        replacement_cost=pl.Series((cost * rng.uniform(1.1, 1.5, len(machines_))).round(2)),
    )
