"""A second server that repeats what the audit database's server commits, for tests that lose the first."""

import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

from genims_platform.local.mysql import MariaDB
from genims_platform.local.process import wait_until
from genims_platform_tests.audit.faults.altered import OPERATOR, Operator, again, operated
from genims_platform_tests.audit.faults.run import STALL_SECONDS
from genims_platform_tests.audit.faults.stage import Stage

START_OF_LOG = 4


class Replica:
    """The second server and its channel to the first, the stage's own; the channel is closed at first."""

    def __init__(self, stage: Stage, operator: Operator) -> None:
        """Copy the first server's data while it is stopped; its binary log begins anew when it starts again."""
        self._stage = stage
        self._primary = stage.mysql
        root = self._primary.root / "second"
        root.mkdir(mode=0o711)
        self.server = replace(self._primary, root=root, log=root / "server.log", port=self._primary.port + 1)
        self.server.replication = logging_as(2)
        operator.close()
        self._primary.stop()
        subprocess.run(["cp", "-a", self._primary.data, self.server.data], check=True)  # noqa: S607 - with owners
        (self.server.data / "auto.cnf").unlink(missing_ok=True)  # the name of a MySQL server; each has its own
        again(self._primary)
        operator.connect()
        self.server.ensure_running(restart=False)
        self._operator = Operator(stage, operator.password)
        self._operator.connect(self.server.port)
        self._operator.run(self._channel(operator))

    @property
    def variables(self) -> dict[str, str]:
        """Of the platform's settings."""
        return {"MYSQL_AUDIT_REPLICA_HOST": "127.0.0.1", "MYSQL_AUDIT_REPLICA_PORT": str(self.server.port)}

    def catch_up(self) -> None:
        """Repeat everything that the first server has committed, and no more."""
        self._operator.run("START REPLICA")
        wait_until(lambda: self._head() == self._stage.audit(HEAD), STALL_SECONDS, "the replica does not catch up")
        self._operator.run("STOP REPLICA")

    def take_over(self) -> None:
        """Lose the first server for good; the second one answers in its place."""
        self._stage.kill_mysql()
        self._operator.run("RESET REPLICA ALL")
        self._operator.close()
        self.server.port = self._primary.port
        again(self.server)
        self._stage.mysql = self.server

    def _head(self) -> list[tuple[int]]:
        return self._operator.run(f"SELECT MAX(batch_no) FROM {self._stage.values['MYSQL_AUDIT_DB']}.{SPINE}")

    def _channel(self, operator: Operator) -> str:
        mariadb = isinstance(self._primary, MariaDB)
        ((file, *_),) = operator.run("SHOW MASTER STATUS" if mariadb else "SHOW BINARY LOG STATUS")
        options = {
            "HOST": "'127.0.0.1'",
            "PORT": self._primary.port,
            "USER": f"'{OPERATOR}'",
            "PASSWORD": f"'{operator.password}'",
            "LOG_FILE": f"'{file}'",
            "LOG_POS": START_OF_LOG,
        }
        if mariadb:
            return "CHANGE MASTER TO " + ", ".join(f"MASTER_{name} = {value}" for name, value in options.items())
        listed = ", ".join(f"SOURCE_{name} = {value}" for name, value in options.items())
        return f"CHANGE REPLICATION SOURCE TO {listed}, GET_SOURCE_PUBLIC_KEY = 1"


SPINE = "audit_sequence_manager"
HEAD = f"SELECT MAX(batch_no) FROM {SPINE}"


def logging_as(server_id: int) -> tuple[str, ...]:
    """Options of a server that others may follow."""
    return f"--server-id={server_id}", "--log-bin=changes", "--binlog-format=ROW", "--sync-binlog=1"


@contextmanager
def replicated(stage: Stage) -> Generator[Replica]:
    """The stage with a replica; afterwards it has its own server again, with a trail that does not go on."""
    primary = stage.mysql
    primary.replication = logging_as(1)
    with operated(stage) as operator:
        replica = Replica(stage, operator)
        try:
            yield replica
        finally:
            stage.stop_programs()
            replica.server.stop()
            shutil.rmtree(replica.server.root)
            stage.mysql, stage.broken = primary, True
            primary.replication = ()
            again(primary)
            operator.connect()
