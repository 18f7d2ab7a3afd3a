"""Events of several sources reach the audit database: all of them, once, in order."""

import io
import threading

import pytest

from genims_platform.audit.relay.service import Relay
from genims_platform_tests.audit.relay.trail import Trail

ACCOUNT = "INSERT INTO accounts (account_id, account_number, account_name) VALUES (%(id)s, %(id)s, %(id)s)"
EMPLOYEE = """INSERT INTO employees (employee_id, employee_number, first_name, last_name, hire_date, annual_salary)
    VALUES (%(id)s, %(id)s, 'Ada', 'Lovelace', '2020-02-29', 4711.5)"""
MATERIALS = """INSERT INTO materials (material_id, material_code, material_name, material_type, base_unit_of_measure)
    SELECT %(name)s || n, %(name)s || n, 'Steel', 'raw', 'EA' FROM generate_series(1, %(rows)s) n"""


def test_every_event_of_three_sources_arrives_once_and_in_order(trail_of_three: Trail) -> None:
    trail = trail_of_three
    crm, hcm, erp = (trail.sources[name] for name in ("crm", "hcm", "erp"))
    trail.deliver()
    crm.execute(ACCOUNT, {"id": "V"})
    with crm.session() as slow, slow.cursor() as first, crm.session() as fast, fast.cursor() as second:
        first.execute(ACCOUNT, {"id": "S1"})
        second.execute(ACCOUNT, {"id": "F1"})
        first.execute("UPDATE accounts SET account_name = 'slow' WHERE account_id = 'V'")
        trail.deliver()
        second.execute(ACCOUNT, {"id": "F2"})
        fast.commit()
        trail.deliver()
        first.execute("SAVEPOINT s")
        first.execute(ACCOUNT, {"id": "undone"})
        first.execute("ROLLBACK TO SAVEPOINT s")
        first.execute(ACCOUNT, {"id": "S2"})
        slow.commit()
        second.execute("UPDATE accounts SET account_name = 'fast' WHERE account_id = 'V'")
        fast.commit()
    with erp.session() as connection, connection, connection.cursor() as cursor:
        lines = "".join(f"C{number}\tC{number}\tcopied\traw\tEA\n" for number in range(300))
        cursor.copy_expert(
            "COPY materials (material_id, material_code, material_name, material_type, base_unit_of_measure) "
            "FROM STDIN",
            io.StringIO(lines),
        )
    hcm.execute(EMPLOYEE, {"id": "E1"})
    hcm.execute("UPDATE employees SET annual_salary = 815.25 WHERE employee_id = 'E1'")

    trail.deliver()

    trail.check_complete()
    keys = [
        key
        for (key,) in trail.query(
            "SELECT primary_key_value FROM system_audit_log WHERE source_db = 'crm' AND event_kind = 'ROW' "
            "AND primary_key_value IN ('V', 'S1', 'S2', 'F1', 'F2', 'undone') ORDER BY audit_sequence"
        )
    ]
    assert keys == ["V", "F1", "F2", "S1", "V", "S2", "V"]


def test_a_large_transaction_is_cut_into_parts_and_delays_nobody(trail_of_three: Trail) -> None:
    trail = trail_of_three
    trail.deliver()
    ((before,),) = trail.query("SELECT MAX(batch_no) FROM audit_sequence_manager")
    trail.sources["erp"].execute(MATERIALS, {"name": "P", "rows": 5000})
    trail.sources["crm"].execute(ACCOUNT, {"id": "beside"})

    trail.deliver()

    trail.check_complete()
    spine = trail.query(
        "SELECT source_db, part_no, is_last_part, event_count, tick_from, tick_to FROM audit_sequence_manager "
        "WHERE batch_no > %s AND batch_kind = 'STREAM' AND source_db IN ('crm', 'erp') ORDER BY batch_no",
        (before,),
    )
    parts = [(part, last, count) for source, part, last, count, *_ in spine if source == "erp"]
    # What other sessions do to the roles of the server is seen in this source too.
    assert sum(count for *_, count in parts) >= 5000
    assert [count for *_, count in parts[:-1]] == [1000] * (len(parts) - 1)
    assert [(part, last) for part, last, _ in parts] == [(n, int(n == len(parts) - 1)) for n in range(len(parts))]
    assert len({(start, end) for source, *_, start, end in spine if source == "erp"}) == 1
    assert [source for source, *_ in spine].index("crm") < len(spine) - 1


def test_a_bulk_is_recorded_at_its_last_event_with_a_sample(trail_of_three: Trail) -> None:
    trail = trail_of_three
    trail.sources["erp"].execute(MATERIALS, {"name": "B", "rows": 1500})
    trail.deliver()

    ((rows, sample, sequence),) = trail.query(
        "SELECT rows_affected, data_sample, audit_sequence FROM bulk_operation_audit "
        "WHERE data_sample LIKE '[\"B1\",%%'"
    )
    assert rows == 1500
    assert sample.count("B") == 20
    assert trail.query("SELECT primary_key_value FROM system_audit_log WHERE audit_sequence = %s", (sequence,)) == [
        ("B1500",)
    ]


@pytest.mark.parametrize("batch_size", [7, 150])
def test_parts_may_be_of_any_size_and_delivery_goes_on_in_the_middle_of_a_range(
    trail_of_three: Trail, batch_size: int
) -> None:
    trail = trail_of_three
    trail.sources["erp"].execute(MATERIALS, {"name": f"M{batch_size}-", "rows": 400})
    small = trail.settings.model_copy(update={"etl_batch_size": batch_size})
    stop = threading.Event()
    # The first report comes after some of the parts.
    cut = Relay(small, sources=tuple(trail.sources), report=lambda _: stop.set())
    cut.run(stop, seconds=1)

    trail.deliver()

    trail.check_complete()


def test_personal_values_are_encrypted_under_a_key_that_is_in_the_store(trail_of_three: Trail) -> None:
    trail = trail_of_three
    trail.sources["hcm"].execute(EMPLOYEE, {"id": "E9"})
    trail.sources["hcm"].execute("UPDATE employees SET annual_salary = 123456.75 WHERE employee_id = 'E9'")
    trail.deliver()

    ((state, value, subject),) = trail.query(
        "SELECT value_state, new_value, subject_ref FROM data_change_audit "
        "WHERE primary_key_value = 'E9' AND column_name = 'annual_salary'"
    )
    assert (state, subject) == ("ENC", "employee:E9")
    assert value.startswith("v1.")
    assert trail.query("SELECT COUNT(*) FROM data_change_audit WHERE new_value LIKE '%%123456%%'") == [(0,)]
