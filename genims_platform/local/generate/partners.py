"""Customers, suppliers, carriers, and where goods and accounts meet them."""

import numpy as np
import polars as pl

from genims_platform.local.generate.dimensions import choose
from genims_platform.local.generate.plan import Plan, identifiers

_CUSTOMERS = pl.DataFrame(
    {
        "customer_name": [
            *("Great Lakes Motors", "Liberty Trucks", "Pacific Coast Vehicles", "Summit Automotive"),
            *("Rheinland Fahrzeuge", "Nordstern Nutzfahrzeuge", "Isar Automobil"),
            *("Kanto Motor", "Setouchi Vehicles", "Hokuriku Trucks"),
        ],
        "country": ["USA"] * 4 + ["Germany"] * 3 + ["Japan"] * 3,
        "region": ["North America"] * 4 + ["Europe"] * 3 + ["Asia-Pacific"] * 3,
    }
)
_SUPPLIER_HOUSES = [
    "Iyer",
    "Sharma",
    "Patel",
    "Reddy",
    "Nair",
    "Bose",
    "Kapoor",
    "Menon",
    "Joshi",
    "Rao",
    "Becker",
    "Vogel",
    "Krause",
    "Lang",
    "Sato",
    "Tanaka",
    "Ito",
    "Mori",
    "Kato",
    "Abe",
]
_TRADES = ["Steel", "Aluminum", "Copper", "Plastic", "Rubber", "Glass"]


def customers(plan: Plan) -> pl.DataFrame:
    """Ten customers; `weight` is their share of orders, `price_factor` their bargain (about 1)."""
    rng = plan.rng("customers")
    weight = 1 / np.arange(1, 11) ** 0.5
    return _CUSTOMERS.select(identifiers("master.customers", 10), pl.all()).with_columns(
        payment_terms_days=pl.Series(rng.choice([30, 45, 60, 90], 10)),
        sla_on_time_delivery_percentage=pl.Series(rng.uniform(90, 97, 10).round(2)),
        weight=pl.Series(rng.permutation(weight / weight.sum())),
        price_factor=pl.Series(rng.uniform(0.95, 1.05, 10)),
    )


def suppliers(plan: Plan) -> pl.DataFrame:
    """120 suppliers; `reliability` (0..1) is their share of deliveries on time."""
    rng = plan.rng("suppliers")
    count = plan.rows("erp.suppliers")
    reliability = rng.beta(14, 2, count).clip(0.6, 0.99)
    return pl.DataFrame(
        {
            "supplier_id": identifiers("erp.suppliers", count),
            "supplier_name": [
                f"{_SUPPLIER_HOUSES[i % 20]} {_TRADES[i // 20 % 6]} Supply {i + 1}" for i in range(count)
            ],
            "supplier_type": [["Raw_Materials", "Components", "Consumables"][min(i % 5 // 2, 2)] for i in range(count)],
            "payment_terms": choose(rng, ["NET30", "NET45", "NET60"], count).tolist(),
            "on_time_delivery_percentage": (reliability * 100).round(2),
            "reliability": reliability,
        }
    )


def warehouses(factories_: pl.DataFrame) -> pl.DataFrame:
    """One warehouse a factory."""
    return factories_.select(
        identifiers("wms.warehouses", len(factories_)),
        plant_id="factory_id",
        warehouse_name=pl.col("city") + " Distribution Centre",
        city="city",
        state="region",
        country="country",
    )


def accounts(plan: Plan, customers_: pl.DataFrame) -> pl.DataFrame:
    """One CRM account a customer, each owned by another sales representative."""
    rng = plan.rng("accounts")
    representatives = identifiers("crm.sales_reps", plan.rows("crm.sales_reps"))
    owner = rng.choice(len(representatives), len(customers_), replace=False)
    return customers_.select(
        identifiers("crm.accounts", len(customers_)),
        "customer_id",
        account_name="customer_name",
        account_owner=representatives.gather(owner),
        account_tier=pl.Series(choose(rng, ["key", "standard", "strategic"], len(customers_)).tolist()),
    )


def carriers(plan: Plan) -> pl.DataFrame:
    """Ten carriers; `reliability` (0..1) is their share of deliveries on time."""
    rng = plan.rng("carriers")
    reliability = rng.uniform(0.86, 0.975, 10)
    names = ["Blue Dart", "Coastline", "Deccan", "Eagle", "Frontier", "Garuda", "Highway", "Indus", "Jetway", "Konkan"]
    return pl.DataFrame(
        {
            "carrier_id": identifiers("tms.carriers", 10),
            "carrier_name": [f"{name} Logistics" for name in names],
            "on_time_delivery_pct": (reliability * 100).round(2),
            "reliability": reliability,
        }
    )
