"""A relay under attack while applications write."""

import json
import random
import signal
from collections.abc import Generator
from contextlib import contextmanager, suppress

import mysql.connector

from genims_platform.local.process import wait_until
from genims_platform_tests.audit.faults.stage import ACCOUNT, Program, Stage

STALL_SECONDS = 120
"""Long enough for back-off, locks that time out and a machine that is busy 8 times over; then it has stopped."""


class Run:
    """The relay of now, and what faults need to know of it."""

    def __init__(self, stage: Stage, workload: Program, seed: int) -> None:
        self.stage = stage
        self.workload = workload
        self.random = random.Random(seed)  # noqa: S311
        self.relay: Program = stage.relay()

    def head(self) -> int:
        """Number of the newest batch."""
        ((number,),) = self.stage.audit("SELECT COALESCE(MAX(batch_no), -1) FROM audit_sequence_manager")
        return int(number)

    def progress(self, batches: int = 1) -> None:
        """Wait until so many more batches are there.

        Raises:
            TimeoutError: they do not come; the message ends with the last lines of the relay.
        """
        start: int | None = None

        def moved() -> bool:
            nonlocal start
            with suppress(mysql.connector.Error):
                head = self.head()
                start = head if start is None else start
                return head >= start + batches
            return False

        try:
            wait_until(moved, STALL_SECONDS, "")
        except TimeoutError:
            state = "stands still" if self.relay.running else f"ended with {self.relay.process.returncode}"
            raise TimeoutError(f"the relay {state}:\n{self.relay.tail()}") from None

    def outcomes(self) -> dict[str, int]:
        """How many transactions of the applications ended in which way, once they have all ended."""
        return json.loads(self.workload.tail(1))

    def some_batches(self) -> None:
        """Let it work for a while that differs from time to time."""
        self.progress(self.random.randint(1, 4))

    def restart(self, *options: str, **environment: str) -> None:
        """Kill the relay and start another one."""
        self.relay.kill()
        self.relay = self.stage.relay(*options, **environment)

    def writers(self, after: int) -> set[int]:
        """Process numbers of the relays that wrote batches after this one."""
        rows = self.stage.audit(
            "SELECT DISTINCT writer_id FROM audit_sequence_manager WHERE batch_no > %s AND batch_kind = 'STREAM'",
            (after,),
        )
        return {int(name.split(":")[-2]) for (name,) in rows}

    def knows(self, key: str) -> bool:
        """Whether a change of the row with this key is in the ledger."""
        ((number,),) = self.stage.audit("SELECT COUNT(*) FROM system_audit_log WHERE primary_key_value = %s", (key,))
        return number > 0

    def wait_for(self, key: str, seconds: float = STALL_SECONDS) -> None:
        """Wait until a change of the row with this key is in the ledger."""
        wait_until(lambda: self.knows(key), seconds, f"{key} does not arrive:\n{self.relay.tail()}")

    def delivered(self, key: str) -> None:
        """Insert a row with this key and wait until that is in the ledger."""
        self.stage.execute("crm", ACCOUNT, {"id": key})
        self.wait_for(key)

    @contextmanager
    def applications_stopped(self) -> Generator[None]:
        """Nobody writes during the block; transactions that are open stay so."""
        self.workload.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.workload.send(signal.SIGCONT)

    def acknowledged(self) -> int:
        """How many transactions the applications were told are committed."""
        return self.stage.histories[-1].read_text().count('{"outcome": "ok"')


@contextmanager
def attacked(stage: Stage, seed: int, *, rate: float = 10) -> Generator[Run]:
    """A relay that delivers what applications write during the block."""
    with stage.workload(rate=rate) as workload:
        run = Run(stage, workload, seed)
        run.progress()
        yield run
        run.progress()
