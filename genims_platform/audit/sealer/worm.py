"""Places of checkpoints, where an object is written once and never changed."""

import fcntl
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from genims_platform.audit.sealer.checkpoint import Checkpoint
from genims_platform.audit.sealer.errors import (
    CheckpointDamagedError,
    CheckpointExistsError,
    CheckpointStoreUnavailableError,
)
from genims_platform.audit.sealer.signing import sync_folder
from genims_platform.settings import SettingsError

_PREFIX, _SUFFIX = "cp-", ".json"


class CheckpointPlace(Protocol):
    """A place of checkpoints."""

    def location(self, checkpoint: Checkpoint) -> str:
        """Where a checkpoint is kept in this place, safe to print."""
        ...

    def write(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint; it is durable when this returns. Writing the same one again changes nothing.

        Raises:
            CheckpointExistsError: another one of this number is there.
            CheckpointStoreUnavailableError: the place cannot be written now.
        """
        ...

    def newest(self, instance: str) -> Checkpoint | None:
        """The checkpoint of the highest number of one audit database.

        Raises:
            CheckpointDamagedError: what is there is no checkpoint.
            CheckpointStoreUnavailableError: the place cannot be read now.
        """
        ...

    def since(self, instance: str, number: int) -> Iterator[Checkpoint]:
        """The checkpoints of a higher number, in order; raises as `newest` does."""
        ...


class CheckpointFolder:
    """Checkpoints as files of a folder: written once, readable by everybody, for as long as nobody is root.

    The folder itself must exist: a disk that is not mounted is no empty place.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def location(self, checkpoint: Checkpoint) -> str:
        """See `CheckpointPlace.location`."""
        return (self._folder / checkpoint.name).as_uri()

    def write(self, checkpoint: Checkpoint) -> None:
        """See `CheckpointPlace.write`."""
        path = self._folder / checkpoint.name
        number = checkpoint.statement.checkpoint_no
        with _available(self._folder), self._locked():
            newest = self.newest(checkpoint.statement.instance)
            if newest is not None and newest.statement.checkpoint_no >= number:
                if path.exists() and path.read_bytes() == checkpoint.content:
                    return
                raise CheckpointExistsError(f"{self._folder} holds another checkpoint {number} already")
            self._make_folders(path.parent)
            # Under its name an object appears whole or not at all, and linking never replaces another one.
            fresh = path.with_name(f".{path.name}.new")
            fresh.unlink(missing_ok=True)
            try:
                with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444), "wb") as stream:
                    stream.write(checkpoint.content)
                    stream.flush()
                    os.fchmod(stream.fileno(), 0o444)  # whatever the umask
                    os.fsync(stream.fileno())
                path.hardlink_to(fresh)
            finally:
                fresh.unlink(missing_ok=True)
            sync_folder(path.parent)

    def newest(self, instance: str) -> Checkpoint | None:
        """See `CheckpointPlace.newest`."""
        with _available(self._folder):
            self._check()
            for day in self._days(instance):
                if files := _checkpoints(day):
                    return _read(files[-1])
        return None

    def since(self, instance: str, number: int) -> Iterator[Checkpoint]:
        """See `CheckpointPlace.since`."""
        found: list[Path] = []
        with _available(self._folder):
            self._check()
            # Numbers grow with time, so the days before one without a newer checkpoint hold none either.
            for day in self._days(instance):
                files = _checkpoints(day)
                newer = [file for file in files if _number(file) > number]
                found += reversed(newer)
                if files and not newer:
                    break
        return map(_read, reversed(found))

    @contextmanager
    def _locked(self) -> Generator[None]:
        """One writer at a time: the next number is taken from what the one before it left."""
        self._check()
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _check(self) -> None:
        if not self._folder.is_dir():
            raise CheckpointStoreUnavailableError(
                f"place of checkpoints {self._folder}: no such folder; is its disk mounted? "
                "A first one is made with mkdir"
            )

    def _make_folders(self, folder: Path) -> None:
        missing: list[Path] = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for path in reversed(missing):
            with suppress(FileExistsError):
                path.mkdir(mode=0o755)
            sync_folder(path.parent)

    def _days(self, instance: str) -> Iterator[Path]:
        """Folders of days, the newest first."""
        root = self._folder / "checkpoints" / instance
        return _descend(root, levels=3) if root.is_dir() else iter(())


def checkpoint_place(variable: str, uri: str) -> CheckpointPlace:
    """The place that a variable names.

    Raises:
        SettingsError: it names none that this version knows.
    """
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and len(parts.path) > 1:
        return CheckpointFolder(Path(unquote(parts.path)))
    if parts.scheme == "az":
        raise SettingsError(
            f"{variable}={uri!r}: Azure storage is not supported by this version; expected is file:///folder, which "
            "may be a mounted share with immutable files"
        )
    raise SettingsError(f"{variable}={uri!r}: expected is file:///folder, with an absolute path")


@contextmanager
def _available(folder: Path) -> Generator[None]:
    """Turns errors of the file system into one that names the place."""
    try:
        yield
    except CheckpointStoreUnavailableError:
        raise
    except OSError as error:
        raise CheckpointStoreUnavailableError(f"place of checkpoints {folder}: {error.strerror}") from error


def _descend(folder: Path, levels: int) -> Iterator[Path]:
    for below in sorted((path for path in folder.iterdir() if path.is_dir()), reverse=True):
        if levels == 1:
            yield below
        else:
            yield from _descend(below, levels - 1)


def _checkpoints(day: Path) -> list[Path]:
    return sorted(day.glob(f"{_PREFIX}*{_SUFFIX}"))


def _number(file: Path) -> int:
    number = file.name.removeprefix(_PREFIX).partition("-")[0]
    if not number.isdigit():
        raise CheckpointDamagedError(f"{file} is no checkpoint; find out who wrote it")
    return int(number)


def _read(file: Path) -> Checkpoint:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise CheckpointStoreUnavailableError(f"checkpoint {file}: {error.strerror}") from None
    found = Checkpoint.parse(content, str(file))
    if file.parts[-len(Path(found.name).parts) :] != Path(found.name).parts:
        raise CheckpointDamagedError(f"{file} holds {found.name}; find out who moved it")
    return found
