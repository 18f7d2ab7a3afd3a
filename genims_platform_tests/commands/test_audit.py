"""`genims audit`: what it prints and with which code it ends."""

import json

import pytest

from genims_platform.audit.capture.queue import make_tick
from genims_platform.audit.policy import audit_policy
from genims_platform.local.servers import LocalServers
from genims_platform.settings import Settings
from genims_platform_tests.audit.capture.captured import Captured, own_source
from genims_platform_tests.commands.conftest import Genims


@pytest.fixture
def tms(settings: Settings, servers: LocalServers, request: pytest.FixtureRequest) -> Captured:
    return own_source(settings, "tms", request.node.name.rpartition("_")[2], servers.postgres_superuser_dsn)


def test_a_source_is_installed_checked_and_uninstalled(genims: Genims, tms: Captured) -> None:
    here = {"PG_TMS_DB": tms.database}
    preview = genims("audit", "install", "--source", "tms", "--dry-run", "--json", **here)
    assert json.loads(preview.stdout)["sources"][0]["changed"]
    assert genims("audit", "check", "--source", "tms", **here).exit_code == 1

    first = genims("audit", "install", "--source", "tms", **here)
    assert first.exit_code == 0
    assert f"{tms.database} " in first.stdout
    assert f"{len(audit_policy().audited('tms'))} tables counted as the start of their audit trail" in first.stdout
    assert "only a superuser may create event triggers" in first.stdout
    assert len(first.stdout.splitlines()) == 3
    second = genims("audit", "install", "--source", "tms", **here)
    assert second.exit_code == 0
    assert f"{tms.database} nothing to do (" in second.stdout
    clean = genims("audit", "check", "--source", "tms", **here)
    assert (clean.exit_code, clean.stdout) == (0, "1 sources compared, 0 findings\n")

    tms.execute("ALTER TABLE carriers DISABLE TRIGGER zz_audit_id")
    found = genims("audit", "check", "--source", "tms", "--json", **here)
    assert found.exit_code == 1
    assert [f["name"] for f in json.loads(found.stdout)["sources"][0]["findings"]] == [
        "trigger public.carriers.zz_audit_id"
    ]
    repaired = genims("audit", "install", "--source", "tms", **here)
    assert "changed trigger public.carriers.zz_audit_id: disabled" in repaired.stdout

    refused = genims("audit", "uninstall", "--source", "tms", "--drop-queue", **here)
    assert refused.exit_code == 3
    assert "are not known to be delivered" in refused.stderr
    with tms.session(autocommit=True) as relay:
        tick, _ = make_tick(relay)
    dropped = genims(
        "audit", "uninstall", "--source", "tms", "--drop-queue", "--delivered-tick", str(tick), "--json", **here
    )
    assert dropped.exit_code == 0
    assert json.loads(dropped.stdout)["sources"][0]["undelivered"] == 0


def test_the_other_sources_are_done_when_one_cannot_be(genims: Genims, tms: Captured) -> None:
    here = {"PG_TMS_DB": tms.database, "PG_MES_DB": f"{tms.database}_absent"}
    done = genims("audit", "install", "--source", "mes", "--source", "tms", **here)

    assert done.exit_code == 4
    assert "mes: " in done.stderr
    assert "no such database" in done.stderr
    assert "created" in done.stdout


def test_a_missing_table_is_a_finding(genims: Genims, tms: Captured) -> None:
    tms.execute("DROP TABLE carriers")
    done = genims("audit", "install", "--source", "tms", PG_TMS_DB=tms.database)

    assert done.exit_code == 1
    assert "missing table public.carriers: in the policy, but not in the database" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["install", "--source", "mess"], "'mess' is no source; sources are master, "),
        (["uninstall", "--drop-queue", "--delivered-tick", "3"], "--delivered-tick belongs to one source"),
        (["uninstall", "--discard-undelivered"], "only mean something with --drop-queue"),
    ],
)
def test_wrong_options_are_refused(genims: Genims, arguments: list[str], message: str) -> None:
    done = genims("audit", *arguments)

    assert done.exit_code == 2
    assert message in done.stderr
