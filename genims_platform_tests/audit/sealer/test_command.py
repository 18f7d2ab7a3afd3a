"""`genims audit seal` and `genims audit keys rotate`: what they print and with which code they end."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from genims_platform.cli import app
from genims_platform.local.process import wait_until
from genims_platform_tests.audit.sealer.conftest import Trail

Genims = Callable[..., Result]
COPIES = "SELECT checkpoint_no FROM audit_integrity_checkpoints ORDER BY 1"
NAMES = (
    "mysql_audit_host",
    "mysql_audit_port",
    "mysql_audit_db",
    "mysql_audit_writer_user",
    "mysql_audit_writer_password",
    "audit_insecure",
    "audit_signing_key_file",
    "audit_public_keys_file",
    "audit_worm_uri",
    "audit_witness_uri",
)


@pytest.fixture
def environment(trail: Trail) -> dict[str, str]:
    values = {name: getattr(trail.settings, name) for name in NAMES}
    secret = trail.settings.mysql_audit_writer_password.get_secret_value()
    return {name.upper(): str(value) for name, value in values.items()} | {"MYSQL_AUDIT_WRITER_PASSWORD": secret}


@pytest.fixture
def genims(environment: dict[str, str]) -> Genims:
    return lambda *arguments, **changes: CliRunner(env=environment | changes).invoke(
        app, ["audit", *arguments], catch_exceptions=False
    )


def test_a_checkpoint_is_made_when_something_happened(trail: Trail, genims: Genims) -> None:
    first = json.loads(genims("seal", "--json").stdout)
    assert first["checkpoint_no"] == 1
    assert genims("seal", "--once").stdout == "nothing happened since the last checkpoint\n"
    trail.happens()
    head = trail.chain.ledger.head()
    assert head is not None
    expected = f"checkpoint 2: batch {head.batch_no}, audit_sequence {head.last_sequence}, key {first['key_id']}\n"
    assert genims("seal").stdout == expected


def test_a_key_is_rotated(trail: Trail, genims: Genims) -> None:
    genims("seal")
    rotated = genims("keys", "rotate")
    assert rotated.exit_code == 0
    assert "; the next one is signed with key " in rotated.stdout
    keys = json.loads(genims("keys", "list", "--json").stdout)["keys"]
    assert [key["signs"] for key in keys] == [False, True]
    trail.happens()
    assert json.loads(genims("seal", "--json").stdout)["key_id"] == keys[1]["key_id"]


def test_codes_say_who_has_to_act(trail: Trail, genims: Genims) -> None:
    assert genims("seal", "--once", "--loop").exit_code == 2
    unset = genims("seal", AUDIT_WORM_URI="", AUDIT_WITNESS_URI="")
    assert (unset.exit_code, "AUDIT_WORM_URI is not set" in unset.stderr) == (2, True)
    azure = genims("seal", AUDIT_WORM_URI="az://account/container/prefix")
    assert (azure.exit_code, "Azure storage is not supported" in azure.stderr) == (2, True)
    away = genims("seal", AUDIT_WITNESS_URI=(trail.folder / "away").as_uri())
    assert (away.exit_code, "is its disk mounted?" in away.stderr) == (4, True)
    down = genims("seal", MYSQL_AUDIT_PORT="1")
    assert down.exit_code == 4
    trail.happens()
    trail.tamper("UPDATE data_change_audit SET new_value = 'x'")
    refused = genims("seal")
    assert refused.exit_code == 5
    assert "its rows are not as they were hashed; nothing was signed" in refused.stderr


@contextmanager
def looping(environment: dict[str, str], output: Path) -> Generator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", "from genims_platform.cli import app; app()", "audit", "seal", "--loop"]
    with (
        output.open("wb") as stream,
        subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=stream, stderr=stream, cwd=output.parent
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def test_the_loop_ends_cleanly_with_a_last_checkpoint(
    trail: Trail, environment: dict[str, str], tmp_path: Path
) -> None:
    output = tmp_path / "output"
    with looping({**environment, "AUDIT_CHECKPOINT_SECONDS": "3600"}, output) as process:
        # Its copy in the database is a batch of its own, which `happens` would race with, and comes last. The handlers
        # of signals stand before it.
        wait_until(lambda: trail.rows(COPIES) == [(1,)], 60, "no first checkpoint")
        trail.happens()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert len(trail.kept()) == 2
    assert [line.split(":")[0] for line in output.read_text().splitlines()] == ["checkpoint 1", "checkpoint 2"]


def test_a_loop_that_is_killed_leaves_nothing_undone(trail: Trail, environment: dict[str, str], tmp_path: Path) -> None:
    with looping({**environment, "AUDIT_CHECKPOINT_SECONDS": "1"}, tmp_path / "output") as process:
        wait_until(lambda: len(trail.kept()) == 1, 60, "no first checkpoint")
        process.kill()
        process.wait(60)
    trail.happens()
    assert trail.seal() is not None
    assert trail.rows(COPIES) == [(1,), (2,)]
