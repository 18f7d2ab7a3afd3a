"""`genims audit keys`: keys are made once, shown by their public part, and stores are never made in passing."""

import base64
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from genims_platform.cli import app
from genims_platform_tests.commands.conftest import Genims

KEK = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def genims() -> Genims:
    """Commands on keys need no server."""
    return lambda *arguments, **changes: CliRunner(env=changes).invoke(app, arguments, catch_exceptions=False)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    return {
        "AUDIT_SIGNING_KEY_FILE": str(tmp_path / "signing-key"),
        "AUDIT_PUBLIC_KEYS_FILE": str(tmp_path / "public-keys"),
    }


def test_a_key_is_made_once(genims: Genims, files: dict[str, str]) -> None:
    first = genims("audit", "keys", "new", **files)
    assert first.exit_code == 0
    secret = Path(files["AUDIT_SIGNING_KEY_FILE"]).read_text()
    assert secret.strip() not in first.output
    second = genims("audit", "keys", "new", **files)
    assert second.exit_code == 2
    assert "exists and is not overwritten" in second.stderr
    assert Path(files["AUDIT_SIGNING_KEY_FILE"]).read_text() == secret

    listed = genims("audit", "keys", "list", "--json", **files)
    (key,) = json.loads(listed.stdout)["keys"]
    assert key["signs"]
    assert key["key_id"] in first.stdout
    assert genims("audit", "keys", "list", **files).stdout == f"{key['key_id']} {key['public_key']}  signs\n"


def test_whoever_verifies_needs_no_signing_key(genims: Genims, files: dict[str, str]) -> None:
    genims("audit", "keys", "new", **files)
    public = {"AUDIT_PUBLIC_KEYS_FILE": files["AUDIT_PUBLIC_KEYS_FILE"]}
    assert not json.loads(genims("audit", "keys", "list", "--json", **public).stdout)["keys"][0]["signs"]


def test_a_signing_key_that_nobody_can_verify_is_a_finding(genims: Genims, files: dict[str, str]) -> None:
    genims("audit", "keys", "new", **files)
    Path(files["AUDIT_PUBLIC_KEYS_FILE"]).write_text("# none yet\n")
    found = genims("audit", "keys", "list", **files)
    assert found.exit_code == 1
    assert "does not have the key that signs" in found.stderr


@pytest.mark.parametrize("name", ["AUDIT_SIGNING_KEY_FILE", "AUDIT_PUBLIC_KEYS_FILE"])
def test_files_have_to_be_named(genims: Genims, files: dict[str, str], name: str) -> None:
    del files[name]
    done = genims("audit", "keys", "new", **files)
    assert done.exit_code == 2
    assert f"{name} is not set" in done.stderr


def test_a_damaged_file_of_public_keys_stops_the_making_of_a_key(genims: Genims, files: dict[str, str]) -> None:
    Path(files["AUDIT_PUBLIC_KEYS_FILE"]).write_text("nonsense\n")
    done = genims("audit", "keys", "new", **files)
    assert done.exit_code == 2
    assert "line 1 is no public key" in done.stderr
    assert not Path(files["AUDIT_SIGNING_KEY_FILE"]).exists()


def test_a_store_of_keys_is_made_and_counted(genims: Genims, tmp_path: Path) -> None:
    where = {"AUDIT_KEYSTORE_URI": f"sqlite:///{tmp_path}/keys.db", "AUDIT_KEK": KEK}
    made = json.loads(genims("audit", "keys", "store", "--json", **where).stdout)
    assert made == {"made": True, "location": f"key store {tmp_path}/keys.db", "living": 0, "destroyed": 0}
    again = genims("audit", "keys", "store", **where)
    assert again.stdout == f"key store {tmp_path}/keys.db: 0 keys, 0 destroyed\n"

    wrong = genims("audit", "keys", "store", **{**where, "AUDIT_KEK": base64.b64encode(bytes(32)).decode()})
    assert wrong.exit_code == 2
    assert "not the key that" in wrong.stderr
    unreachable = {"AUDIT_KEYSTORE_URI": "postgresql://genims:hunter2@127.0.0.1:1/genims_audit_keys"}
    refused = genims("audit", "keys", "store", **{**where, **unreachable})
    assert refused.exit_code == 4
    assert "hunter2" not in refused.output


def test_a_damaged_store_needs_a_person(genims: Genims, tmp_path: Path) -> None:
    (tmp_path / "keys.db").write_bytes(b"no database, whatever its name says" * 100)
    where = {"AUDIT_KEYSTORE_URI": f"sqlite:///{tmp_path}/keys.db", "AUDIT_KEK": KEK}
    done = genims("audit", "keys", "store", **where)
    assert done.exit_code == 5
    assert "restore it from a backup" in done.stderr
