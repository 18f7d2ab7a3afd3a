"""The server of the audit database gets back files that it had earlier; relays and restores are killed meanwhile."""

import shutil
import signal
import subprocess
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest

from genims_platform.audit.ledger.append import open_ledger
from genims_platform.audit.ledger.layout import TABLES
from genims_platform.audit.sealer.signing import add_public_key, new_signing_key
from genims_platform.local.process import wait_until
from genims_platform.local.servers import Engine
from genims_platform_tests.audit.faults import stage as stages
from genims_platform_tests.audit.faults.stage import Program, Stage

pytestmark = pytest.mark.fault

BATCHES = 15
STEPS = ("after_spine:2", "mid_details:1", "before_commit:1", "after_commit:1")


@pytest.fixture
def stage(engine: Engine) -> Generator[Stage]:
    with stages.stage(engine) as made:
        made.new_trail()
        yield made


def copy_of_stopped(stage: Stage, target: Path) -> None:
    stage.mysql.stop()
    # With its owner, who is not the one of the tests.
    subprocess.run(["cp", "-a", stage.mysql.data, target], check=True)  # noqa: S607
    stage.revive(stage.mysql)


def head(stage: Stage) -> int:
    ((number,),) = stage.audit("SELECT MAX(batch_no) FROM audit_sequence_manager")
    return number


def contents(stage: Stage) -> dict[str, list[tuple[object, ...]]]:
    return {table: stage.audit(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in TABLES}


def test_it_comes_back_though_it_is_killed_at_each_step(stage: Stage) -> None:
    home = stage.folder
    (home / "worm").mkdir()
    add_public_key(home / "public", new_signing_key(home / "signing.key").public)
    settings = {
        "AUDIT_WORM_URI": (home / "worm").as_uri(),
        "AUDIT_SIGNING_KEY_FILE": str(home / "signing.key"),
        "AUDIT_PUBLIC_KEYS_FILE": str(home / "public"),
        # Small batches make many transactions of a replay.
        "ETL_BATCH_SIZE": "25",
    }

    def run(*arguments: str, expected: int, **more: str) -> Program:
        program = stage.genims("audit", *arguments, **settings, **more)
        assert program.wait(240) == expected, program.tail()
        return program

    def seal() -> None:
        # On a busy machine a server may be not reachable for a moment; that is not what is tested.
        wait_until(lambda: stage.genims("audit", "seal", **settings).wait(240) == 0, 240, "nothing was sealed")

    def deliver_some() -> None:
        relay = stage.relay(**settings)
        start = head(stage)
        wait_until(lambda: head(stage) >= start + BATCHES or not relay.running, 240, "nothing was delivered")
        seal()
        later = head(stage)
        wait_until(lambda: head(stage) > later or not relay.running, 240, "nothing was delivered")
        assert relay.stop() == 0, relay.tail()

    with stage.workload():
        deliver_some()
        early = head(stage)
        backup = stage.root / "backup"
        copy_of_stopped(stage, backup)
        deliver_some()
    before, newest = contents(stage), head(stage)
    stage.mysql.stop()
    shutil.rmtree(stage.mysql.data)
    backup.rename(stage.mysql.data)
    stage.revive(stage.mysql)
    assert head(stage) == early

    refused = stage.relay("--once", **settings)
    assert refused.wait(240) == 5
    assert "genims audit restore" in refused.tail()
    run("restore", expected=1)
    for step in STEPS:
        run("restore", "--replay", expected=-signal.SIGKILL, AUDIT_FAILPOINT=step)
    # Of what was killed after COMMIT, one transaction is there.
    assert early < head(stage) < newest
    run("restore", "--replay", expected=0)

    assert contents(stage) == before
    run("verify", "--scope", "full", "--no-record", expected=0)
    assert stage.relay("--once", **settings).wait(240) == 0
    stage.assert_clean()
    seal()
    run("verify", "--scope", "full", expected=0)
    with closing(open_ledger(stage.settings, "relay")) as ledger:
        results = ledger.query("SELECT verify_status FROM audit_integrity_checkpoints WHERE verify_status IS NOT NULL")
    assert results == [("OK",)]
