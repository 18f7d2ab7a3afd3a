"""`genims audit restore`: what it prints and with which code it ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from genims_platform.audit.restore.replay import replay
from genims_platform.cli import app
from genims_platform.settings import Settings
from genims_platform_tests.audit.relay.trail import running
from genims_platform_tests.audit.restore.conftest import ACCOUNT, ACCOUNTS, Restorable

Genims = Callable[..., Result]


STEPS = ("after_spine:2", "mid_details:1", "before_commit:1", "after_commit:1")


@pytest.fixture
def environment(restorable: Restorable) -> dict[str, str | None]:
    return {name.upper(): _text(getattr(restorable.settings, name)) for name in Settings.model_fields}


@pytest.fixture
def genims(environment: dict[str, str | None]) -> Genims:
    return lambda *arguments: CliRunner(env=environment).invoke(app, ["audit", *arguments], catch_exceptions=False)


def _text(value: object) -> str | None:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, (list, tuple, set, frozenset)):
        return ",".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType]
    return None if value is None else str(value)


def test_the_way_back(restorable: Restorable, genims: Genims) -> None:
    restorable.change(ACCOUNT, id="1")
    restorable.deliver()
    restorable.seal()
    restorable.deliver()  # the journal takes over what the sealer recorded
    head = restorable.head()
    nothing = genims("restore")
    assert (nothing.exit_code, "nothing is lost" in nothing.output) == (0, True)
    restorable.set_back(2)

    status = genims("status", "--json")
    assert status.exit_code == 1
    assert any("genims audit restore" in alert for alert in json.loads(status.stdout)["alerts"])
    relay = genims("relay", "--once", "--source", "crm")
    assert (relay.exit_code, "genims audit restore" in relay.output) == (5, True)
    verified = genims("verify", "--scope", "full")
    assert (verified.exit_code, "not recorded" in verified.output) == (1, True)
    found = genims("restore", "--json")
    assert found.exit_code == 1
    record = json.loads(found.stdout)
    assert record["replayable"] == record["lost_batches"] == head.batch_no - 2
    assert record["standing"]["journal"]["batch_hash"] == head.batch_hash.hex()
    shown = genims("restore")
    assert "genims audit restore --replay" in shown.output
    assert f"journal    batch {head.batch_no}," in shown.output
    early = genims("restore", "--void", "--reason", "x", "--approval", "anna", "--approval", "ben")
    assert (early.exit_code, "--replay" in early.output) == (3, True)
    assert restorable.head().batch_no == 2

    done = genims("restore", "--replay")

    assert (done.exit_code, "nothing is lost any more" in done.output) == (0, True)
    assert restorable.head() == head


def test_a_replay_that_is_killed_at_each_step(restorable: Restorable, environment: dict[str, str | None]) -> None:
    for number in range(4):
        restorable.change(ACCOUNT, id=f"{number}")
        restorable.change(ACCOUNTS, id=f"many {number} ", rows=30)
        restorable.deliver()
    before, head = restorable.contents(), restorable.head()
    restorable.set_back(2)
    variables = {**os.environ, **{name: value for name, value in environment.items() if value is not None}}
    command = [Path(sys.executable).with_name("genims"), "audit", "restore", "--replay"]

    for step in STEPS:
        done = subprocess.run(command, env={**variables, "AUDIT_FAILPOINT": step}, capture_output=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr

    # What was killed after COMMIT had written one transaction, the others none.
    assert 2 < restorable.head().batch_no < head.batch_no
    assert replay(restorable.settings).stopped_by is None
    assert restorable.contents() == before


def test_closing_a_gap(restorable: Restorable, genims: Genims) -> None:
    restorable.change(ACCOUNT, id="1")
    restorable.deliver()
    restorable.seal()
    shutil.rmtree(restorable.journal)
    restorable.set_back(2)

    found = genims("restore")
    assert (found.exit_code, "--void --reason" in found.output) == (1, True)
    assert genims("restore", "--replay").exit_code == 1
    same = genims("restore", "--void", "--reason", "disk", "--approval", "anna", "--approval", "anna")
    assert (same.exit_code, "two different persons" in same.output) == (3, True)
    for wrong in (
        ("--void", "--approval", "anna", "--approval", "ben"),
        ("--void", "--replay"),
        ("--reason", "disk"),
    ):
        assert genims("restore", *wrong).exit_code == 2
    done = genims("restore", "--void", "--reason", "disk", "--approval", "anna", "--approval", "ben", "--json")

    assert done.exit_code == 0
    record = json.loads(done.stdout)
    assert (record["batch_no"], record["lost_batches"]) == (3, 0)
    assert genims("restore").exit_code == 0


def test_a_relay_that_works_is_not_disturbed(restorable: Restorable, genims: Genims) -> None:
    restorable.change(ACCOUNT, id="1")
    with running(restorable.trail) as relay:
        relay.wait_for_events("crm", 1)
        refused = genims("restore", "--replay")
    assert (refused.exit_code, "a relay works" in refused.output) == (3, True)
