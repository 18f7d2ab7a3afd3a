"""Settings: defaults, precedence, and what a wrong value says."""

from pathlib import Path
from typing import get_args

import pytest

from genims_platform.settings import PROJECT_ROOT, AuditRole, Settings, SettingsError, load_settings


def test_every_variable_is_in_the_example_with_its_default() -> None:
    lines = (PROJECT_ROOT / ".env.example").read_text("utf-8").splitlines()
    example = dict(line.removeprefix("#").split("=", 1) for line in lines if line[:2] not in ("", "# ") and "=" in line)
    entries = {name for name in example if name.startswith("AUDIT_SOURCE_")}
    assert entries == {"AUDIT_SOURCE_MES_HOST", "AUDIT_SOURCE_MES_PORT", "AUDIT_SOURCE_MES_DB"}
    assert set(example) - entries == {name.upper() for name in Settings.model_fields.keys() - {"audit_source"}}
    given = {name.lower(): value for name, value in example.items() if value}
    assert load_settings(given) == load_settings()


def test_every_variable_is_used_or_named_as_later_work() -> None:
    package = PROJECT_ROOT / "genims_platform"
    code = "\n".join(file.read_text("utf-8") for file in package.rglob("*.py"))
    later = (PROJECT_ROOT / "docs/later-work.md").read_text("utf-8")
    for name in Settings.model_fields:
        by_source_name = name.startswith("pg_") and name.endswith("_db")
        by_role = any(name.startswith(f"mysql_audit_{role}_") for role in get_args(AuditRole))
        assert f".{name}" in code or by_source_name or by_role or name.upper() in later, name


def test_a_wrong_value_is_named_with_what_is_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYSQL_REPORTING_PORT", "99999")
    monkeypatch.setenv("BACKUP_AUDIT_RETENTION", "30")
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert str(raised.value).splitlines() == [
        "MYSQL_REPORTING_PORT='99999': Input should be less than or equal to 65535",
        "BACKUP_AUDIT_RETENTION='30': Input should be greater than or equal to 2555",
    ]


def test_a_password_is_in_no_representation() -> None:
    settings = load_settings({"pg_password": "hunter2", "mysql_reporting_password": "hunter2"})
    shown = f"{settings!r} {settings.source('mes')!r} {settings.mysql_reporting!r} {settings.dagster_storage!r}"
    assert "hunter2" not in shown


def test_reads_go_to_the_replica_and_writes_to_the_primary() -> None:
    settings = load_settings({"pg_host": "primary", "pg_replica_host": "replica", "pg_mes_db": "factory_mes"})
    assert settings.source("mes").address == "factory_mes at replica:5432"
    assert settings.source_primary("mes").address == "factory_mes at primary:5432"


def test_audit_capture_works_on_the_primary_unless_a_source_lies_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIT_SOURCE_MES_HOST", "mes-server")
    monkeypatch.setenv("AUDIT_SOURCE_MES_DB", "my_mes")
    settings = load_settings({"pg_host": "primary", "pg_replica_host": "replica", "audit_pg_install_user": "installer"})

    assert settings.audit_install("mes").address == "my_mes at mes-server:5432"
    assert settings.audit_install("erp").address == "genims_erp_db at primary:5432"
    assert settings.audit_install("erp").user == "installer"
    assert settings.audit_relay("erp").user == "genims_audit_relay"


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("AUDIT_SOURCE_MESS_DB", "'mess' is no source; sources are master, "),
        ("AUDIT_SOURCE_MES_PORT", "AUDIT_SOURCE_MES_PORT='x': Input should be a valid integer"),
        ("AUDIT_SOURCE_MES_NAME", "AUDIT_SOURCE_MES_NAME='x': Extra inputs are not permitted"),
    ],
)
def test_a_wrong_variable_of_a_source_is_named(variable: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "x")
    with pytest.raises(SettingsError, match=message):
        load_settings()


def test_a_missing_certificate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="MYSQL_REPORTING_SSL_CA"):
        load_settings({"mysql_reporting_ssl_ca": tmp_path / "none.pem"})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"audit_poll_min_ms": 401}, "AUDIT_POLL_MIN_MS=401: at most AUDIT_POLL_MAX_MS, which is 400"),
        ({"audit_journal_keep_days": 13}, "AUDIT_JOURNAL_KEEP_DAYS=13: at least AUDIT_QUEUE_KEEP_DAYS, which is 14"),
        ({"audit_handover_lead": 3300}, "AUDIT_HANDOVER_LEAD=3300: less than AUDIT_STREAM_RUN_SECONDS"),
        ({"audit_witness_uri": "file:///w"}, "set AUDIT_WORM_URI, the first, too"),
        ({"audit_worm_uri": "file:///w", "audit_witness_uri": "file:///w"}, "another place than AUDIT_WORM_URI"),
    ],
)
def test_values_that_do_not_go_together_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(given)
    assert message in str(raised.value)


def test_keys_are_in_no_representation_and_in_no_message() -> None:
    given = {
        "audit_kek": "hunter2",
        "audit_signing_key": "hunter2",
        "audit_keystore_uri": "postgresql://genims:hunter2@host/keys",
    }
    assert "hunter2" not in repr(load_settings(given))
    for name in given:
        with pytest.raises(SettingsError) as raised:
            load_settings({name: ["hunter2"]})
        assert "hunter2" not in str(raised.value)
