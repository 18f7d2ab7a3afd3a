"""A plant small enough to work out by hand: one factory, one line, two machines, two shifts."""

from datetime import datetime

from genims_platform_tests.reporting.frames import Rows

MASTER: dict[str, Rows] = {
    "master.machines": [
        {
            "machine_id": "MCH-1",
            "machine_name": "Press",
            "line_id": "LINE-1",
            "factory_id": "FAC-1",
            "design_capacity_units_per_hour": 100,
            "power_rating_kw": 20,
        },
        {
            "machine_id": "MCH-2",
            "machine_name": "Lathe",
            "line_id": "LINE-1",
            "factory_id": "FAC-1",
            "design_capacity_units_per_hour": 50,
            "power_rating_kw": 10,
        },
    ],
    "master.production_lines": [{"line_id": "LINE-1", "line_name": "Line one", "factory_id": "FAC-1"}],
    "master.shifts": [{"shift_id": "SH-1", "factory_id": "FAC-1"}, {"shift_id": "SH-9", "factory_id": "FAC-9"}],
}


def reading(number: int, taken: datetime, state: str = "running", **others: object) -> dict[str, object]:
    return {
        "scada_id": number,
        "machine_id": "MCH-1",
        "line_id": "LINE-1",
        "factory_id": "FAC-1",
        "timestamp": taken,
        "machine_state": state,
        "data_quality": "good",
        "shift_id": "SH-1",
        **others,
    }
