"""Starting, finding and ending server processes, as an unprivileged user where the caller is root."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

SERVER_USER = "genims-local"


class LocalServerError(RuntimeError):
    """A local server could not be made, started or stopped; the message says which, why and how to mend it."""


def server_account() -> pwd.struct_passwd | None:
    """The system user that servers run as when the caller is root (made where missing); None for any other caller.

    Raises:
        LocalServerError: this is not Linux, or `/dev/null` is closed to other users, which no server survives.
    """
    if not Path("/proc/self/cwd").exists():
        raise LocalServerError("private servers need Linux; elsewhere start the same servers with: docker compose up")
    if os.geteuid() != 0:
        return None
    if Path(os.devnull).stat().st_mode & 0o006 != 0o006:
        raise LocalServerError(f"{os.devnull} is closed to other users; mend it with: chmod 666 {os.devnull}")
    try:
        return pwd.getpwnam(SERVER_USER)
    except KeyError:
        pass
    if useradd := shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin"):
        command = [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SERVER_USER]
        subprocess.run(command, capture_output=True, check=False)
    try:
        return pwd.getpwnam(SERVER_USER)
    except KeyError:
        return pwd.getpwnam("nobody")


def run_as(account: pwd.struct_passwd | None, argv: Sequence[str | Path], cwd: Path) -> None:
    """Run a command to its end as the server user.

    Raises:
        LocalServerError: the command failed; the message ends with the last lines that it wrote.
    """
    done = subprocess.run(
        argv,
        cwd=cwd,
        env=_environment(cwd),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        user=account and account.pw_uid,
        group=account and account.pw_gid,
        extra_groups=[] if account else None,
        umask=0o077,
    )
    if done.returncode:
        last = "\n".join(done.stdout.strip().splitlines()[-8:])
        raise LocalServerError(f"{Path(argv[0]).name} ended with {done.returncode}:\n{last}")


def start_detached(account: pwd.struct_passwd | None, argv: Sequence[str | Path], cwd: Path, log: Path) -> None:
    """Start a server in a session of its own, so that it outlives the caller; its output is appended to `log`."""
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        subprocess.run(
            ["setsid", "--fork", *argv],  # noqa: S607
            cwd=cwd,
            env=_environment(cwd),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=True,
            user=account and account.pw_uid,
            group=account and account.pw_gid,
            extra_groups=[] if account else None,
            umask=0o077,
        )


def main_process(data: Path) -> int | None:
    """The process that serves this data folder, if one runs; found without a pid file, which may be stale."""
    return next(iter(_scan(data)[0]), None)


def stop(data: Path, how: signal.Signals, seconds: float = 60) -> None:
    """End the server that works in this data folder and wait until its last process is gone.

    `how` is the signal of a clean shutdown; what is left after `seconds` is killed. Workers that outlived a killed main
    process get the signal as well.
    """
    main, workers = _scan(data)
    _signal(main[:1] or workers, how)
    try:
        wait_until(lambda: not any(_scan(data)), seconds, "")
    except TimeoutError:
        _signal([pid for kind in _scan(data) for pid in kind], signal.SIGKILL)
        wait_until(lambda: not any(_scan(data)), seconds, f"processes in {data} survive SIGKILL")


def wait_until(condition: Callable[[], bool], seconds: float, complaint: str) -> None:
    """Poll until the condition holds.

    Raises:
        TimeoutError: with `complaint`, when it does not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(complaint)
        time.sleep(0.05)


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def write_private(path: Path, text: str, account: pwd.struct_passwd | None = None) -> None:
    """Write a file that only its owner (by default the caller) can read; it is replaced as a whole."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        if account:
            os.fchown(file.fileno(), account.pw_uid, account.pw_gid)
    fresh.replace(path)


def _scan(data: Path) -> tuple[list[int], list[int]]:
    main: list[int] = []
    workers: list[int] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "cwd").readlink() != data:
                continue
            argv = (entry / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
        except OSError:  # ended meanwhile, or somebody else's
            continue
        if str(data) in argv or f"--datadir={data}" in argv or argv == [""]:  # it is empty for a moment during exec
            main.append(int(entry.name))
        elif argv[0].startswith("postgres:"):
            workers.append(int(entry.name))
    return sorted(main), workers


def _signal(processes: Sequence[int], how: signal.Signals) -> None:
    for process in processes:
        try:
            os.kill(process, how)
        except ProcessLookupError:
            continue


def _environment(home: Path) -> dict[str, str]:
    path = os.environ.get("PATH", "")
    return {"PATH": f"{path}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin", "HOME": str(home), "LC_ALL": "C"}
