"""Commands for the MySQL side of the audit trail, on the test servers."""

import json
from collections.abc import Generator
from typing import get_args

import pytest

from genims_platform.audit.database import audit_database
from genims_platform.local.servers import Engine
from genims_platform.settings import AuditRole, Settings
from genims_platform_tests.audit.conftest import drop, with_accounts
from genims_platform_tests.commands.conftest import Genims


@pytest.fixture
def own(settings: Settings, engine: Engine) -> Generator[Settings]:
    own = with_accounts(settings, engine, f"{settings.mysql_audit_db}_cli")
    yield own
    drop(audit_database(own), own)


def variables(own: Settings) -> dict[str, str]:
    """What distinguishes these settings from those of the test servers."""
    accounts = {
        f"MYSQL_AUDIT_{role.upper()}_{part}": value
        for role in get_args(AuditRole)
        for part, value in (("USER", own.mysql_audit_as(role).user), ("PASSWORD", own.mysql_audit_as(role).password))
    }
    return {**accounts, "MYSQL_AUDIT_DB": own.mysql_audit_db, "AUDIT_INSECURE": str(int(own.audit_insecure))}


def test_the_audit_schema_is_deployed_once_and_loses_nothing(genims: Genims, own: Settings) -> None:
    arguments = ("schema", "deploy", "--database", "audit")
    planned = json.loads(genims(*arguments, "--dry-run", "--json", **variables(own)).stdout)
    first, second = (genims(*arguments, **variables(own)) for _ in range(2))
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.stdout.endswith(f"{len(planned)} changes made, 0 left\n")
    assert second.stdout == "0 changes made, 0 left\n"
    database = audit_database(own)
    with database.connection() as connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE login_audit ADD COLUMN extra INT")
    database.close()
    third = genims(*arguments, "--allow-destructive", **variables(own))
    assert third.exit_code == 1
    left, counts = third.stdout.splitlines()
    assert left.startswith("left drop column login_audit.extra: stored values are part of the hash chain")
    assert counts == "0 changes made, 1 left"


def test_a_database_of_other_tables_is_refused_in_one_line(genims: Genims, own: Settings) -> None:
    assert genims("schema", "deploy", "--database", "audit", **variables(own)).exit_code == 0
    refused = genims("schema", "deploy", MYSQL_REPORTING_DB=own.mysql_audit_db)
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"cannot go on: database {own.mysql_audit_db} holds the audit tables")
    assert refused.stderr.count("\n") == 1


def test_accounts_are_made_without_showing_a_password(genims: Genims, own: Settings) -> None:
    command = ("audit", "accounts")
    refused = genims(*command, **variables(own))
    assert (refused.exit_code, refused.stderr.count("\n")) == (3, 1)
    assert "run `genims schema deploy --database audit` first" in refused.stderr
    assert genims("schema", "deploy", "--database", "audit", **variables(own)).exit_code == 0
    planned, first, second = (genims(*command, *more, **variables(own)) for more in (("--dry-run",), (), ()))
    assert planned.stdout.replace("would be: ", "") == first.stdout
    assert first.stdout.count(" created, ") == second.stdout.count(" unchanged\n") == 5
    as_json = genims(*command, "--json", **variables(own))
    assert [account["changes"] for account in json.loads(as_json.stdout)["accounts"]] == [[]] * 5
    results = (refused, planned, first, second, as_json)
    assert {result.exit_code for result in results[1:]} == {0}
    for role in get_args(AuditRole):
        secret = own.mysql_audit_as(role).password
        assert not any(secret in result.output for result in results)


def test_missing_passwords_are_named(genims: Genims, own: Settings) -> None:
    refused = genims("audit", "accounts", **{**variables(own), "MYSQL_AUDIT_WRITER_PASSWORD": ""})
    assert refused.exit_code == 2
    assert refused.stderr == "wrong settings: MYSQL_AUDIT_WRITER_PASSWORD is not set\n"


def test_a_surplus_right_is_a_finding(genims: Genims, own: Settings) -> None:
    assert genims("schema", "deploy", "--database", "audit", **variables(own)).exit_code == 0
    assert genims("audit", "accounts", **variables(own)).exit_code == 0
    database = audit_database(own)
    with database.connection() as connection, connection.cursor() as cursor:
        cursor.execute("GRANT DELETE ON login_audit TO %s@'127.0.0.1'", (own.mysql_audit_relay_user,))
    database.close()
    found = genims("audit", "accounts", **variables(own))
    assert found.exit_code == 1
    table = f"`{own.mysql_audit_db}`.`login_audit`"
    assert f"surplus {own.mysql_audit_relay_user}@127.0.0.1: DELETE on {table}\n" in found.stdout
