from datetime import date, datetime
from decimal import Decimal

from genims_platform.reporting.performance.quality_summary_daily import quality_summary_daily
from genims_platform.reporting.periods import Window
from genims_platform_tests.reporting.frames import rows_of

DAY = date(2026, 3, 10)
WINDOW = Window(DAY, date(2026, 3, 11), as_of=datetime(2026, 3, 10, 18))


def _order(order_id: str, **values: object) -> dict[str, object]:
    usual = {"status": "completed", "factory_id": "FAC-1", "product_id": "P-1", "line_id": "L-1"}
    return usual | {"work_order_id": order_id} | values


def test_units_defects_inspections_and_qms_facts_of_a_day() -> None:
    rows = rows_of(
        quality_summary_daily,
        {
            "mes.work_orders": [
                _order(
                    "WO-1",
                    actual_end_time=datetime(2026, 3, 10, 6),
                    produced_quantity=1000,
                    good_quantity=970,
                    rejected_quantity=20,
                    scrapped_quantity=7,
                    rework_quantity=3,
                ),
                _order("WO-2", actual_end_time=datetime(2026, 3, 10, 20), produced_quantity=5, good_quantity=5),
                _order("WO-3", status="in_progress", product_id="P-2"),
            ],
            "mes.defects": [
                {"detected_date": datetime(2026, 3, 10, 7), "work_order_id": "WO-1"}
                | {"quantity_affected": quantity, "defect_severity": severity, "product_id": "P-OTHER"}
                for quantity, severity in ((4, "critical"), (6, "major"), (1, "minor"), (2, None))
            ]
            + [{"detected_date": datetime(2026, 3, 10, 8), "work_order_id": "WO-LOST", "quantity_affected": 9}],
            "mes.quality_inspections": [
                {"inspection_date": datetime(2026, 3, 10, 9), "work_order_id": "WO-3", "inspection_result": result}
                for result in ("pass", "pass", "fail", "pass")
            ],
            "qms.ncr_headers": [
                {"detected_date": DAY, "detection_location": "FAC-1", "product_id": "MAT-9"}
                | {"total_cost": Decimal("12.50")},
                {"detected_date": DAY, "detection_location": " ", "product_id": "P-2"},
            ],
            "qms.customer_complaints": [{"complaint_date": DAY, "product_id": "P-2"}],
            "qms.spc_data_points": [
                {"chart_id": "CH-1", "measurement_timestamp": datetime(2026, 3, 10, 1), "out_of_control": value}
                for value in (True, False, None)
            ],
            "qms.spc_control_charts": [{"chart_id": "CH-1", "process_name": "milling"}],
            "qms.control_plans": [
                {"control_plan_id": "CP-2", "process_name": "milling", "product_id": "P-1"},
                {"control_plan_id": "CP-1", "process_name": "milling", "product_id": "P-2"},
            ],
            "master.products": [{"product_id": "P-1", "product_name": "Gear", "target_quality_ppm": 300}],
        },
        WINDOW,
    )
    found = {(row["factory_id"], row["product_id"]): row for row in rows.iter_rows(named=True)}
    assert set(found) == {
        ("FAC-1", "P-1"),
        ("FAC-1", "P-2"),
        ("FAC-1", "MAT-9"),
        ("UNKNOWN", "P-2"),
        ("UNKNOWN", "UNKNOWN"),
    }
    assert found["FAC-1", "P-1"] == {
        "quality_date": DAY,
        "factory_id": "FAC-1",
        "product_id": "P-1",
        "product_name": "Gear",
        "units_produced": 1000,
        "units_good": 970,
        "units_rejected": 20,
        "units_scrapped": 7,
        "units_rework": 3,
        "first_pass_yield_pct": Decimal("97.00"),
        "defect_quantity": 13,
        "defects_critical": 4,
        "defects_major": 6,
        "defects_minor": 3,
        "defect_ppm": Decimal("13000.00"),
        "target_ppm": 300,
        "inspection_count": 0,
        "inspection_pass_pct": None,
        "ncr_count": 0,
        "ncr_cost_inr": None,
        "complaint_count": 0,
        "spc_points": 0,
        "spc_out_of_control": 0,
        "source_row_count": 5,
    }
    inspected = found["FAC-1", "P-2"]
    assert (inspected["inspection_count"], inspected["inspection_pass_pct"]) == (4, Decimal("75.00"))
    assert (inspected["units_produced"], inspected["first_pass_yield_pct"], inspected["defect_ppm"]) == (0, None, None)
    orphan = found["FAC-1", "MAT-9"]
    assert (orphan["ncr_count"], orphan["ncr_cost_inr"], orphan["product_name"]) == (1, Decimal("12.50"), None)
    unplaced = found["UNKNOWN", "P-2"]
    assert (unplaced["ncr_count"], unplaced["ncr_cost_inr"], unplaced["complaint_count"]) == (1, None, 1)
    assert (unplaced["spc_points"], unplaced["spc_out_of_control"], unplaced["source_row_count"]) == (3, 1, 5)
    assert found["UNKNOWN", "UNKNOWN"]["defect_quantity"] == 9
