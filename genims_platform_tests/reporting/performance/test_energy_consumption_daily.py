from decimal import Decimal

from genims_platform.reporting.performance.energy_consumption_daily import energy_consumption_daily
from genims_platform.reporting.periods import DAY, Window
from genims_platform_tests.reporting.frames import MONDAY, TUESDAY, Rows, at, rows_of
from genims_platform_tests.reporting.performance.plant import MASTER, reading

LATER = at(MONDAY + 30 * DAY, 0)
SUNDAY = MONDAY - DAY

SOURCES: dict[str, Rows] = MASTER | {
    "operational.scada_machine_data": [
        reading(1, at(SUNDAY, 23), power_consumption_kw=6, energy_consumed_kwh=100),  # 6 kWh on Sunday, 6 on Monday
        reading(2, at(MONDAY, 1), "idle", power_consumption_kw=3, energy_consumed_kwh=112),
        reading(3, at(MONDAY, 1, 30), power_consumption_kw=12, energy_consumed_kwh=90),  # the meter was replaced
        reading(4, at(MONDAY, 3), "idle", power_consumption_kw=None, energy_consumed_kwh=Decimal("107.5")),
        reading(5, at(MONDAY, 3), power_consumption_kw=99, data_quality="bad"),
        reading(6, at(MONDAY, 2), machine_id="MCH-2", power_consumption_kw=5, energy_consumed_kwh=7),
        reading(7, at(MONDAY, 9), machine_id="MCH-2", power_consumption_kw=5, energy_consumed_kwh=50),  # 7 h later
        reading(8, at(MONDAY, 9), machine_id="MCH-77", line_id="LINE-7", factory_id="FAC-7", power_consumption_kw=0),
    ],
    "mes.work_orders": [
        {
            "work_order_id": f"WO-{n}",
            "line_id": "LINE-1",
            "status": status,
            "good_quantity": 30,
            "actual_end_time": at(day, 5),
        }
        for n, (status, day) in enumerate(
            [("completed", MONDAY), ("closed", MONDAY), ("open", MONDAY), ("closed", TUESDAY)]
        )
    ],
    "financial.chart_of_accounts": [
        {"account_id": "ACC-1", "account_code": "5230"},
        {"account_id": "ACC-2", "account_code": "5240"},
    ],
    "financial.exchange_rates": [
        {
            "rate_id": "1",
            "from_currency": "USD",
            "to_currency": "INR",
            "rate_type": "spot",
            "effective_date": MONDAY - 10 * DAY,
            "exchange_rate": Decimal("0.0125"),
            "inverse_rate": 80,
        }
    ],
    "financial.journal_entry_headers": [
        {"journal_entry_id": "JE-1", "posting_date": MONDAY, "posted": True, "reversed": False},
        {"journal_entry_id": "JE-2", "posting_date": MONDAY, "posted": True, "reversed": True},
        {"journal_entry_id": "JE-3", "posting_date": TUESDAY, "posted": True, "reversed": False},
    ],
    "financial.journal_entry_lines": [
        {"journal_entry_id": entry, "account_id": account, "factory_id": "FAC-1", **amounts}
        for entry, account, amounts in (
            ("JE-1", "ACC-1", {"functional_debit": 500, "debit_amount": 1}),
            ("JE-1", "ACC-1", {"debit_amount": 10, "currency_code": "USD"}),
            ("JE-1", "ACC-1", {"debit_amount": 10, "currency_code": "JPY"}),
            ("JE-1", "ACC-1", {"functional_credit": 80}),
            ("JE-1", "ACC-2", {"functional_debit": 7000}),
            ("JE-2", "ACC-1", {"functional_debit": 7000}),
            ("JE-3", "ACC-1", {"functional_debit": 7000}),
        )
    ],
}


def test_a_worked_example() -> None:
    line, orphan = rows_of(energy_consumption_daily, SOURCES, Window(MONDAY, TUESDAY, LATER)).to_dicts()
    assert {name: float(value) if isinstance(value, Decimal) else value for name, value in line.items()} == {
        "energy_date": MONDAY,
        "line_id": "LINE-1",
        "factory_id": "FAC-1",
        "line_name": "Line one",
        "machine_count": 2,
        "observed_machine_hours": 15,
        "total_kwh": 65.5,  # machine 1: 6 + 1.5 + 18, machine 2: 2 x 4 h x 5 kW
        "running_kwh": 64,
        "non_productive_kwh": 1.5,
        "non_productive_pct": 2.29,
        "avg_machine_kw": 4.3667,
        "peak_hour_kw": 17,  # from 2 to 3: 12 + 5
        "meter_kwh": 72.5,  # 12 + 0 + 17.5, machine 2: 43
        "meter_to_power_ratio": 1.1069,
        "rated_kwh": 220,  # 20 kW for 7 h, 10 kW for 8 h
        "load_factor_pct": 29.77,
        "units_good": 60,
        "kwh_per_good_unit": 1.0917,
        "kwh_7d_avg": 35.75,
        "energy_cost_inr": 1117.62,  # 500 + 10 x 80 - 80 = 1220; March began on Sunday: 65.5 / 71.5 of it
        "source_row_count": 5,
    }
    assert (orphan["line_id"], orphan["line_name"], orphan["factory_id"]) == ("LINE-7", None, "FAC-7")
    assert (orphan["total_kwh"], orphan["non_productive_pct"], orphan["rated_kwh"]) == (0, None, None)
    assert (orphan["units_good"], orphan["kwh_per_good_unit"], orphan["meter_kwh"]) == (None, None, None)


def test_the_hour_of_the_run_ends_what_is_known() -> None:
    (row,) = rows_of(energy_consumption_daily, SOURCES, Window(MONDAY, TUESDAY, at(MONDAY, 1, 15))).to_dicts()
    assert (row["total_kwh"], row["observed_machine_hours"]) == (Decimal("6.75"), Decimal("1.25"))
    assert (row["units_good"], row["source_row_count"]) == (None, 1)
