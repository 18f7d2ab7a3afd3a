"""What every private database server has in common: made once, started on its own port, polled until it answers."""

import pwd
import shutil
import signal
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from genims_platform.local import process
from genims_platform.local.process import LocalServerError

USER = "genims"
START_SECONDS = 120


@dataclass
class PrivateServer(ABC):
    """One database server with its data folder `root/engine`, a socket in that and a port of 127.0.0.1."""

    engine: ClassVar[str]
    clean_shutdown: ClassVar[signal.Signals]

    root: Path
    log: Path
    port: int
    password: str
    account: pwd.struct_passwd | None

    def __repr__(self) -> str:
        return f"{self.engine} on 127.0.0.1:{self.port} ({self.data})"

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.root / self.engine

    @property
    def pid(self) -> int | None:
        """Its main process, if it runs."""
        return process.main_process(self.data)

    @abstractmethod
    def initialise(self, data: Path) -> None:
        """Fill an empty data folder."""

    @abstractmethod
    def command(self) -> list[str | Path]:
        """The command that serves `data`."""

    @abstractmethod
    def version(self) -> str | None:
        """The server's version if it accepts the user and password of `local.env` and answers; else None."""

    def prepare(self) -> None:  # noqa: B027
        """What has to be written before each start."""

    def ready(self) -> None:  # noqa: B027
        """What has to be done once its process is there and before it must accept the password."""

    def ensure_running(self, *, restart: bool) -> None:
        """Make, start and wait for the server; one that runs and answers is left alone, unless it is to `restart`.

        Raises:
            LocalServerError: it does not come up; the message ends with the last lines of its log.
        """
        if not restart and self.pid and self._came_up():
            return
        self.stop()  # also ends workers that outlived a killed main process
        self._initialise_once()
        for attempt in range(3):
            self._choose_port(self.port + attempt)
            self.prepare()
            process.start_detached(self.account, self.command(), self.data, self.log)
            if self._came_up():
                return
            if process.port_is_free(self.port):  # else somebody took the port meanwhile
                break
        last = "\n".join(self.log.read_text(errors="replace").splitlines()[-8:]) if self.log.exists() else ""
        raise LocalServerError(
            f"{self!r} did not come up; `genims local reset` starts afresh. {self.log} ends:\n{last}"
        )

    def stop(self) -> None:
        """Shut down cleanly and wait for the last process."""
        process.stop(self.data, self.clean_shutdown)

    def _initialise_once(self) -> None:
        if self.data.exists():
            return
        fresh = self.root / f"{self.engine}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if self.account:
            shutil.chown(fresh, self.account.pw_uid, self.account.pw_gid)
        self.initialise(fresh)
        fresh.rename(self.data)  # so that an interrupted initialisation is never taken for a whole one

    def _choose_port(self, preferred: int) -> None:
        free = (port for port in range(preferred, preferred + 1000) if process.port_is_free(port))
        self.port = next(free)

    def _came_up(self) -> bool:
        answered = False

        def settled() -> bool:
            nonlocal answered
            if not self.pid:
                return True
            self.ready()
            answered = self.version() is not None
            return answered

        with suppress(TimeoutError):
            process.wait_until(settled, START_SECONDS, "")
        return answered
