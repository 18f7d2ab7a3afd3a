"""Commands that begin the audit trail, on the test servers."""

import json
from collections.abc import Generator

import pytest

from genims_platform.audit.accounts import ensure_accounts
from genims_platform.audit.database import audit_database
from genims_platform.local.servers import Engine, LocalServers
from genims_platform.mysql.deploy import deploy
from genims_platform.settings import SOURCE_NAMES, Settings
from genims_platform_tests.audit.capture.captured import Captured, captured_source
from genims_platform_tests.audit.conftest import drop, with_accounts
from genims_platform_tests.audit.ledger.chain import NOON
from genims_platform_tests.commands.conftest import Genims
from genims_platform_tests.commands.test_audit_database import variables


@pytest.fixture
def own(settings: Settings, engine: Engine) -> Generator[Settings]:
    own = with_accounts(settings, engine, f"{settings.mysql_audit_db}_init")
    database = audit_database(own)
    deploy(database, "audit", today=NOON.date())
    ensure_accounts(database, own)
    yield own
    drop(database, own)


@pytest.fixture(scope="module")
def crm(settings: Settings, servers: LocalServers) -> Captured:
    return captured_source(settings, "crm", "init", servers.postgres_superuser_dsn)


def with_source(own: Settings, crm: Captured) -> dict[str, str]:
    """Variables of the audit database and of a deployment whose only source is crm, which is captured."""
    return {
        **variables(own),
        **{f"PG_{name.upper()}_DB": f"{crm.database}_no_{name}" for name in SOURCE_NAMES},
        "PG_CRM_DB": crm.database,
        "AUDIT_PG_RELAY_USER": own.pg_user,
        "AUDIT_PG_RELAY_PASSWORD": own.pg_password.get_secret_value(),
    }


def test_the_trail_begins_once_and_names_sources_without_capture(genims: Genims, own: Settings, crm: Captured) -> None:
    changes = with_source(own, crm)
    first = json.loads(genims("audit", "init", "--json", **changes).stdout)
    assert (first["created"], [source["source"] for source in first["opened"]]) == (True, ["crm"])
    assert set(first["missing"]) == set(SOURCE_NAMES) - {"crm"}
    again = genims("audit", "init", **changes)
    assert again.exit_code == 4  # the other databases do not exist
    assert again.stdout == f"audit trail {first['instance']}: had begun\n0 sources opened now, 1 were open\n"
    listed = json.loads(genims("audit", "source", "list", "--json", **changes).stdout)
    assert listed["crm"] == {"incarnation": 1, "tick": 1, "delivered_of_next": 0}
    assert listed["mes"] is None
    assert "not open" in genims("audit", "source", "list", **changes).stdout


def test_opening_anew_needs_a_reason_and_a_break(genims: Genims, own: Settings, crm: Captured) -> None:
    changes = with_source(own, crm)
    genims("audit", "init", **changes)
    asked = genims("audit", "source", "open", "crm", **changes)
    assert (asked.exit_code, asked.stderr.count("\n")) == (2, 1)
    refused = genims("audit", "source", "open", "crm", "--reason", "r", "--approval", "a", **changes)
    assert refused.exit_code == 3
    assert "can be delivered on after tick 1" in refused.stderr
    unknown = genims("audit", "source", "open", "nothing", **changes)
    assert unknown.exit_code == 2


def test_a_source_is_opened_by_name(genims: Genims, own: Settings, crm: Captured) -> None:
    changes = with_source(own, crm)
    halted = genims("audit", "source", "open", "crm", **changes)
    assert (halted.exit_code, halted.stderr.count("\n")) == (5, 1)
    assert "genims audit init" in halted.stderr
    genims("audit", "init", **(changes | {"PG_CRM_DB": "no_such_database"}))
    opened = genims("audit", "source", "open", "crm", "--json", **changes)
    assert (json.loads(opened.stdout)["incarnation"], opened.exit_code) == (1, 0)


def test_an_account_with_too_many_rights_does_not_begin_a_trail(genims: Genims, own: Settings, crm: Captured) -> None:
    changes = with_source(own, crm) | {
        "MYSQL_AUDIT_WRITER_USER": own.mysql_audit_user,
        "MYSQL_AUDIT_WRITER_PASSWORD": own.mysql_audit_password.get_secret_value(),
    }
    refused = genims("audit", "init", **changes)
    assert refused.exit_code == 5
    assert "AUDIT_ALLOW_ADMIN=1" in refused.stderr
    assert genims("audit", "init", **changes, AUDIT_ALLOW_ADMIN="1").stdout.startswith("audit trail ")
