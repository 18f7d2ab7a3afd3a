"""A real MySQL server without installing it: the machine's own, or Debian's packages unpacked into a cache."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from genims_platform.local.process import LocalServerError

_OLDEST = (8, 4)
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_REPOSITORY = re.compile(r"https?://\S+/debian/?(?=\s|$)")
_PACKAGES = ("mysql-server-core", "mysql-client-core")


class MySQLUnavailable(LocalServerError):  # noqa: N818
    """No MySQL 8.4 or later is installed, and none can be fetched here."""


def find_or_fetch() -> list[str | Path]:
    """Program and options that start `mysqld`, without those of a particular data folder.

    Raises:
        MySQLUnavailable: there is none and none can be fetched; the message says why.
    """
    if installed := _installed():
        return [installed, "--no-defaults"]
    cache = Path("/var/cache/genims") if os.geteuid() == 0 else Path.home() / ".cache" / "genims"
    trees = sorted(cache.glob("mysql-*"), key=lambda tree: _version(tree.name))
    return _command(trees[-1] if trees else _fetch(cache))


def _installed() -> Path | None:
    found = shutil.which("mysqld") or shutil.which("mysqld", path="/usr/sbin:/usr/local/mysql/bin")
    if not found:
        return None
    answer = subprocess.run([found, "--no-defaults", "--version"], capture_output=True, text=True, check=False).stdout
    return Path(found) if "MariaDB" not in answer and _version(answer) >= _OLDEST else None


def _version(text: str) -> tuple[int, ...]:
    found = re.search(r"\d+(\.\d+)+", text)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def _command(tree: Path) -> list[str | Path]:
    """Start with the tree's own loader: its C library is newer than the machine's."""
    loader = next(tree.glob("usr/lib/*/ld-linux-*.so.*"))
    return [
        loader,
        "--library-path",
        loader.parent,
        tree / "usr/sbin/mysqld",
        "--no-defaults",
        f"--basedir={tree / 'usr'}",
        f"--lc-messages-dir={tree / 'usr/share/mysql'}",
        f"--character-sets-dir={tree / 'usr/share/mysql/charsets'}",
        f"--plugin-dir={tree / 'usr/lib/mysql/plugin'}",
    ]


def _fetch(cache: Path) -> Path:
    """Fetch MySQL and all that it needs from Debian unstable, unpack it, and return the unpacked tree."""
    if not shutil.which("apt-get") or not _KEYRING.exists():
        raise MySQLUnavailable(
            f"MySQL is fetched with apt from Debian's packages, but this machine has no apt-get or no {_KEYRING}; "
            "install MySQL 8.4 or later, or use `genims local up --engine mariadb`"
        )
    cache.mkdir(mode=0o755, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="fetch-") as scratch:
        work = Path(scratch)
        work.chmod(0o755)
        archives = _download(work)
        tree = work / "tree"
        for archive in archives:
            if "perl" not in archive.name:  # for mysqld's helper scripts only
                _run(["dpkg-deb", "-x", str(archive), str(tree)])
        server = next(archive.name for archive in archives if archive.name.startswith(_PACKAGES[0]))
        target = cache / f"mysql-{'.'.join(map(str, _version(server)))}"
        if not target.exists():  # somebody else may have been faster
            tree.rename(target)
        return target


def _download(work: Path) -> list[Path]:
    for folder in ("lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()
    (work / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {_repository()} unstable main\n")
    apt = [
        "apt-get",
        "-qq",
        f"-oDir::Etc::SourceList={work}/sources.list",
        "-oDir::Etc::SourceParts=/dev/null",
        f"-oDir::State::Lists={work}/lists",
        f"-oDir::Cache={work}/cache",
        f"-oDir::State::status={work}/status",
        "-oDebug::NoLocking=true",
        "-oAPT::Sandbox::User=root",
        "-oAPT::Install-Recommends=false",
        "-oAPT::Update::Error-Mode=any",
        "-oAcquire::Languages=none",
        "-oAcquire::Retries=2",
        # A mirror frozen at a date serves an index past its date; signatures and hashes are checked all the same.
        "-oAcquire::Check-Valid-Until=false",
    ]
    _run([*apt, "update"])
    _run([*apt, "install", "--yes", "--download-only", *_PACKAGES])
    return sorted((work / "cache/archives").glob("*.deb"))


def _repository() -> str:
    """The Debian mirror that this machine is set up with."""
    for file in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]:
        if not file.is_file():
            continue
        for line in file.read_text(errors="replace").splitlines():
            if not line.lstrip().startswith("#") and (found := _REPOSITORY.search(line)):
                return found.group()
    raise MySQLUnavailable(
        "MySQL is fetched from Debian's packages, but no Debian mirror is named under /etc/apt; "
        "install MySQL 8.4 or later, or use `genims local up --engine mariadb`"
    )


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False, umask=0o022)
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise MySQLUnavailable(f"MySQL could not be fetched from Debian unstable: {argv[0]} said:\n{last}")
