"""A plant with one warehouse and a few materials, small enough to work out by hand."""

WAREHOUSES: list[dict[str, object]] = [
    {"warehouse_id": "WH-2", "plant_id": "FAC-1"},
    {"warehouse_id": "WH-1", "plant_id": "FAC-1"},
    {"warehouse_id": "WH-9", "plant_id": None},
]

MATERIALS: list[dict[str, object]] = [
    {
        "material_id": "MAT-1",
        "material_code": "FG-1",
        "material_name": "Gear",
        "material_type": "finished_good",
        "product_id": "P-1",
        "standard_cost": 100,
        "abc_classification": "A",
    },
    {
        "material_id": "MAT-2",
        "material_code": "RM-1",
        "material_name": "Steel",
        "material_type": "raw_material",
        "standard_cost": 2,
        "abc_classification": "A",
    },
    # A second material of the same code and product must neither win nor multiply rows.
    {"material_id": "MAT-3", "material_code": "RM-1", "product_id": "P-1", "material_type": "raw_material"},
]
