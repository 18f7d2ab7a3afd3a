"""Removing capture stops it, says so, and loses no event."""

import pytest

from genims_platform.audit.capture.check import check
from genims_platform.audit.capture.install import install
from genims_platform.audit.capture.queue import event_keys, make_tick
from genims_platform.audit.capture.session import CaptureError
from genims_platform.audit.capture.uninstall import uninstall
from genims_platform_tests.audit.capture.captured import Captured
from genims_platform_tests.audit.capture.test_install import insert_labour, superuser

TRIGGERS = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'zz_audit_%'"


def test_capture_stops_and_the_queue_can_still_be_delivered(mes: Captured) -> None:
    insert_labour(mes, "L1")
    with mes.session(autocommit=True) as relay:
        tick, _ = make_tick(relay)
        done = uninstall(mes.settings, "mes")
        insert_labour(mes, "L2")
        last, _ = make_tick(relay)
        ops = [key.op for key in event_keys(relay, tick, last)]

    assert {found.state for found in done.objects} == {"removed"}
    assert mes.value(TRIGGERS) == 0
    assert ops[-1] == "UNINSTALLED"
    assert "INSERT" not in ops
    assert [event["pk"] for event in mes.events(kind="ROW")] == ["L1"]
    assert [finding.kind for finding in check(mes.settings, "mes").findings] == ["not_installed"]


def test_a_second_time_there_is_nothing_to_do(mes: Captured, bare: Captured) -> None:
    assert uninstall(mes.settings, "mes").changed
    newest = mes.newest_event()
    assert not uninstall(mes.settings, "mes").changed
    assert mes.newest_event() == newest
    assert bare.database == mes.database


def test_what_never_was_captured_needs_no_removal(bare: Captured) -> None:
    assert not uninstall(bare.settings, "mes", drop_queue=True).changed


def test_a_dry_run_changes_nothing(mes: Captured) -> None:
    assert uninstall(mes.settings, "mes", dry_run=True).changed
    assert mes.value(TRIGGERS) > 0
    assert check(mes.settings, "mes").findings == ()


def test_a_queue_with_undelivered_events_is_not_dropped(mes: Captured) -> None:
    with mes.session(autocommit=True) as relay:
        early, _ = make_tick(relay)
        insert_labour(mes, "L1")
        kept = uninstall(mes.settings, "mes", drop_queue=True, delivered_tick=early)
        assert kept.undelivered >= 2
        assert mes.value("SELECT to_regclass('audit.queue') IS NOT NULL")
        assert uninstall(mes.settings, "mes", drop_queue=True).undelivered == len(mes.events())
        with pytest.raises(CaptureError, match="the queue has no tick 1000000"):
            uninstall(mes.settings, "mes", drop_queue=True, delivered_tick=1_000_000)
        last, _ = make_tick(relay)

    assert uninstall(mes.settings, "mes", drop_queue=True, delivered_tick=last).undelivered == 0
    assert mes.value("SELECT to_regnamespace('audit') IS NULL")


def test_undelivered_events_can_be_given_up(mes: Captured) -> None:
    done = uninstall(mes.settings, "mes", drop_queue=True, discard=True)

    assert ("table", "audit.queue", "removed") in {(o.kind, o.name, o.state) for o in done.objects}
    assert mes.value("SELECT to_regnamespace('audit') IS NULL")
    insert_labour(mes, "L1")


def test_capture_installed_again_continues_the_queue(mes: Captured) -> None:
    uid = mes.value("SELECT value FROM audit.state WHERE key = 'install_uid'")
    uninstall(mes.settings, "mes")
    insert_labour(mes, "L1")
    done = install(mes.settings, "mes")
    insert_labour(mes, "L2")

    assert done.baselines == 2
    assert mes.value("SELECT value FROM audit.state WHERE key = 'install_uid'") == uid
    ops = [event["op"] for event in mes.events(kind="MARK")]
    assert [op for op in ops if op in ("INSTALLED", "UNINSTALLED")] == ["INSTALLED", "UNINSTALLED", "INSTALLED"]
    assert mes.events()[-1]["pk"] == "L2"
    assert check(mes.settings, "mes").findings == ()


def test_event_triggers_go_with_it(bare: Captured) -> None:
    with superuser(bare) as settings:
        install(settings, "mes")
        with pytest.raises(CaptureError, match="only a superuser can remove them"):
            uninstall(bare.settings, "mes")
        assert bare.value(TRIGGERS) > 0
        uninstall(settings, "mes", drop_queue=True, discard=True)

    assert bare.value("SELECT count(*) FROM pg_event_trigger") == 0
    bare.execute("CREATE TABLE t (id int); DROP TABLE t")
