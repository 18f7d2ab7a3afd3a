from decimal import Decimal

import polars as pl

from genims_platform.reporting.order_plants import by_plant

LINES = pl.LazyFrame(
    {
        "sales_order_id": ["SO-1", "SO-1", "SO-2", "SO-3"],
        "material_id": ["M-1", "M-2", "M-1", "M-1"],
        "plant_id": ["HOME", None, "HOME", "HOME"],
        "order_quantity": [Decimal(10), Decimal(7), Decimal(6), Decimal(9)],
    }
)


def _split(*made: tuple[str | None, str, str, int | None]) -> dict[tuple[str, str], dict[str, float]]:
    schema = {"sales_order_id": pl.String, "material_id": pl.String, "plant_id": pl.String}
    orders = pl.LazyFrame(made, schema=schema | {"order_quantity": pl.Decimal(15, 4)}, orient="row")
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row in by_plant(LINES, orders, split=["order_quantity"]).collect().iter_rows(named=True):
        plants = found.setdefault((row["sales_order_id"], row["material_id"]), {})
        plants[row["plant_id"]] = row["order_quantity"]
    return found


def test_plants_share_what_they_make_and_the_shares_add_up() -> None:
    found = _split(("SO-1", "M-1", "A", 1), ("SO-1", "M-1", "B", 1), ("SO-1", "M-1", "C", 1), ("SO-1", "M-9", "A", 5))
    thirds = found["SO-1", "M-1"]
    assert set(thirds) == {"A", "B", "C"}
    assert sum(thirds.values()) == 10
    assert max(thirds.values()) - min(thirds.values()) < Decimal("0.00001")
    assert found["SO-1", "M-2"] == {"UNKNOWN": 7}
    assert found["SO-2", "M-1"] == {"HOME": 6}


def test_quantities_that_say_nothing() -> None:
    found = _split(
        ("SO-2", "M-1", "A", None),
        ("SO-2", "M-1", "", 0),
        ("SO-3", "M-1", "A", 2),
        ("SO-3", "M-1", "A", 1),
        ("SO-3", "M-1", "B", -5),
        (None, "M-2", "A", 1),
    )
    assert found["SO-2", "M-1"] == {"A": 3, "UNKNOWN": 3}
    assert found["SO-3", "M-1"] == {"A": 9, "B": 0}
    assert found["SO-1", "M-2"] == {"UNKNOWN": 7}
