"""The private MariaDB or MySQL server: the reporting and audit databases on a laptop or in CI."""

import shutil
import signal
from abc import abstractmethod
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import ClassVar, cast

import mysql.connector
from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.local import mysql_download, process
from genims_platform.local.process import LocalServerError
from genims_platform.local.server import USER, PrivateServer

COLLATION = "utf8mb4_unicode_ci"

_OPTIONS = (
    "--bind-address=127.0.0.1",
    "--skip-log-bin",
    "--skip-name-resolve",
    "--character-set-server=utf8mb4",
    f"--collation-server={COLLATION}",
    "--default-time-zone=+00:00",
    "--local-infile=ON",
    "--innodb-buffer-pool-size=512M",
    # Each commit is on disk before it is reported: the audit trail writes to no server that promises less.
    "--innodb-flush-log-at-trx-commit=1",
    "--max-connections=100",
    "--max-allowed-packet=64M",
    "--event-scheduler=OFF",
)

# CREATE USER and SELECT are for the least-privilege accounts that the audit database sets up. With `genims\_%`
# the servers would refuse GRANT on a database whose underscores are not escaped as well.
_ACCOUNTS = """\
CREATE USER IF NOT EXISTS '{user}'@'127.0.0.1' IDENTIFIED BY '{password}';
ALTER USER '{user}'@'127.0.0.1' IDENTIFIED BY '{password}';
GRANT ALL PRIVILEGES ON `genims%`.* TO '{user}'@'127.0.0.1' WITH GRANT OPTION;
GRANT PROCESS, CREATE USER ON *.* TO '{user}'@'127.0.0.1';
GRANT SELECT ON mysql.* TO '{user}'@'127.0.0.1';
ALTER USER 'root'@'localhost' ACCOUNT LOCK;
"""


def connect_mysql(port: int, password: str) -> MySQLConnectionAbstract:
    """Connect to a local server over TCP as `genims`, with no database chosen."""
    connection = mysql.connector.connect(
        host="127.0.0.1", port=port, user=USER, password=password, collation=COLLATION, connection_timeout=5
    )
    return cast("MySQLConnectionAbstract", connection)


class _MySQLFamily(PrivateServer):
    clean_shutdown: ClassVar[signal.Signals] = signal.SIGTERM

    @property
    def _accounts_file(self) -> Path:
        return self.root / f"{self.engine}-accounts.sql"

    @property
    def scratch(self) -> Path:
        """Its temporary files; in a shared folder, MariaDB would delete those of other servers when it starts."""
        return self.root / f"{self.engine}-tmp"

    def prepare(self) -> None:
        """Write the statements that give `genims` its password and rights; the server runs them as it starts."""
        for stale in self.data.glob("server.sock*"):  # see Postgres.prepare
            stale.unlink()
        self.scratch.mkdir(mode=0o700, exist_ok=True)
        if self.account:
            shutil.chown(self.scratch, self.account.pw_uid, self.account.pw_gid)
        statements = _ACCOUNTS.format(user=USER, password=self.password)
        process.write_private(self._accounts_file, statements, self.account)

    def ensure_running(self, *, restart: bool) -> None:
        """See `PrivateServer.ensure_running`."""
        try:
            super().ensure_running(restart=restart)
        finally:
            self._accounts_file.unlink(missing_ok=True)

    def command(self) -> list[str | Path]:
        """The server program with its options."""
        return [
            *self._program(),
            f"--datadir={self.data}",
            f"--port={self.port}",
            f"--socket={self.data / 'server.sock'}",
            f"--pid-file={self.data / 'server.pid'}",
            f"--tmpdir={self.scratch}",
            f"--init-file={self._accounts_file}",
            *_OPTIONS,
        ]

    def version(self) -> str | None:
        """See `PrivateServer.version`."""
        try:
            with closing(connect_mysql(self.port, self.password)) as connection, closing(connection.cursor()) as cursor:
                cursor.execute("SELECT VERSION()")
                row = cursor.fetchone()
                return str(next(iter(row))) if row else None  # pyright: ignore[reportArgumentType]
        except mysql.connector.Error:
            return None

    @abstractmethod
    def _program(self) -> list[str | Path]:
        """The server program and the options that say where its own files are."""


class MariaDB(_MySQLFamily):
    """MariaDB as the system's packages bring it."""

    engine: ClassVar[str] = "mariadb"

    def initialise(self, data: Path) -> None:
        """Run `mariadb-install-db`."""
        options = ["--no-defaults", f"--datadir={data}", "--skip-test-db", "--skip-name-resolve"]
        process.run_as(self.account, [_find("mariadb-install-db"), *options], data)

    def _program(self) -> list[str | Path]:
        return [_find("mariadbd"), "--no-defaults", "--innodb-log-file-size=512M"]


class MySQL(_MySQLFamily):
    """MySQL 8.4 or later: the machine's own, else one fetched and unpacked into a cache."""

    engine: ClassVar[str] = "mysql"

    def initialise(self, data: Path) -> None:
        """Run `mysqld --initialize-insecure`; `_ACCOUNTS` locks the account that it leaves without a password."""
        process.run_as(self.account, [*self._program(), "--initialize-insecure", f"--datadir={data}"], data)

    def _program(self) -> list[str | Path]:
        return [*self._installation, "--mysqlx=OFF", "--secure-file-priv=", "--innodb-redo-log-capacity=512M"]

    @cached_property
    def _installation(self) -> list[str | Path]:
        return mysql_download.find_or_fetch()


def _find(program: str) -> Path:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if not found:
        raise LocalServerError(f"{program} is not installed; run scripts/bootstrap (Debian, Ubuntu) or install MariaDB")
    return Path(found)
