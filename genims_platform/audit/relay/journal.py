"""The journal: what was committed to the audit database, kept outside of it, a line for each batch.

If the database is ever set back to an earlier point, the journal knows the numbers that were given out since, so that
the same events get the same numbers again. A line holds the row of the spine, and as `rows` what no queue gives back:
all rows of a control batch, and those of events in quarantine. It lies in a folder of its own for each audit database,
named after the first batch; a file for each hour (UTC), compressed when the hour is over. Lines are only ever added: a
number that comes again takes the place of what was written from that number on.
"""

import fcntl
import gzip
import json
import os
from array import array
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from genims_platform.audit.ledger.append import Ledger
from genims_platform.audit.ledger.batch import Head
from genims_platform.audit.ledger.entries import Columns
from genims_platform.audit.ledger.errors import HaltError
from genims_platform.audit.ledger.layout import TABLE_NUMBERS, row_layout
from genims_platform.audit.ledger.voids import void_over
from genims_platform.audit.routing import security
from genims_platform.audit.routing.quarantine import QUARANTINED
from genims_platform.mysql.append_only import LEDGER, SPINE
from genims_platform.mysql.connection import identifier
from genims_platform.mysql.contract import contracts

_OPEN, _CLOSED = ".jsonl", ".jsonl.gz"
_COPIED = 1000
_TAIL_BYTES = 1 << 16
_STREAM = "STREAM"

HOW_TO_GO_ON = (
    "Nothing is written, because numbers that were given out would get a second meaning. `genims audit restore` shows "
    "what is lost and how to bring it back"
)


class DatabaseSetBackError(HaltError):
    """The audit database is older than its journal: it was restored, and numbers were given out that it lacks."""


class Journal:
    """The journal of one audit database; relays on the same machine may share it.

    Args:
        folder: `AUDIT_JOURNAL_DIR`.
        ledger: the audit database; used by the calling thread only.
        keep: how long files are kept.
    """

    def __init__(self, folder: Path, ledger: Ledger, keep: timedelta) -> None:
        self._root = folder
        self._ledger = ledger
        self._keep = keep
        self._folder: Path | None = None
        self._newest: int | None = None
        self._size = -1

    def check(self) -> int:
        """Compare with the database and copy the batches that the journal lacks; how many.

        Raises:
            DatabaseSetBackError: the database is behind the journal, or holds another batch of the same number.
            AuditUnavailableError: the database cannot be reached.
        """
        head = self._ledger.head()
        if head is None:
            return 0
        with self._locked():
            line = self._last_line()
            self._newest = self._compare(head, line) if line is not None else None
            return self._copy(head.batch_no)

    def append(self, batches: Sequence[Columns]) -> None:
        """Add spine rows that were just committed, and whatever other writers committed before them."""
        with self._locked():
            self._refresh()
            first = batches[0]["batch_no"]
            assert isinstance(first, int)  # noqa: S101
            self._copy(first - 1)
            newest = self._newest
            new = [batch for batch in batches if newest is None or int(str(batch["batch_no"])) > newest]
            self._write([_line(batch, self._rows_of(batch)) for batch in new])

    def catch_up(self, head: Head) -> None:
        """Add what was committed up to `head`, by whomever."""
        with self._locked():
            self._refresh()
            self._copy(head.batch_no)

    def _compare(self, head: Head, line: Mapping[str, Any]) -> int:
        """The newest batch that database and journal both have."""
        number, digest = int(line["batch_no"]), str(line["batch_hash"])
        stored = self._ledger.query(f"SELECT batch_hash FROM {SPINE} WHERE batch_no = %s", (number,))  # noqa: S608
        if stored and bytes(stored[0][0]).hex() == digest:
            return number
        void = void_over(self._ledger, number, int(line["last_sequence"]))
        if void is not None:
            return void.batch_no - 1
        raise DatabaseSetBackError(
            f"{self._ledger.server.address} was set back to an earlier point, or is another database than the one "
            f"that {self._folder} is the journal of. Head of the database: batch {head.batch_no}, sequence "
            f"{head.last_sequence}, hash {head.batch_hash.hex()}; head of the journal: batch {number}, sequence "
            f"{line['last_sequence']}, hash {digest}. {HOW_TO_GO_ON}"
        )

    def _copy(self, last: int) -> int:
        """Bring the journal up to batch `last`; how many were missing."""
        copied = 0
        if self._newest is None:
            # Older batches could not be delivered again from the queues.
            since = self._ledger.now() - self._keep
            oldest = self._ledger.query(f"SELECT MIN(batch_no) FROM {SPINE} WHERE recorded_at >= %s", (since,))  # noqa: S608
            ((first,),) = oldest
            after = last if first is None else int(first) - 1
        else:
            after = self._newest
        names = row_layout(SPINE).columns
        columns = ", ".join(map(identifier, names))
        while after < last:
            rows = self._ledger.query(
                f"SELECT {columns} FROM {SPINE} WHERE batch_no > %s AND batch_no <= %s ORDER BY batch_no "  # noqa: S608
                f"LIMIT {_COPIED}",
                (after, last),
            )
            if not rows:
                break
            spines = [dict(zip(names, map(_plain, row), strict=True)) for row in rows]
            self._write([_line(spine, self._rows_of(spine)) for spine in spines])
            after = int(spines[-1]["batch_no"])
            copied += len(spines)
        return copied

    def _rows_of(self, spine: Columns) -> dict[str, list[dict[str, Any]]] | None:
        """The rows of a batch that no queue gives back; None if there are none."""
        if not spine["event_count"]:
            return None
        counted = {part.partition("=")[0] for part in str(spine["table_counts"]).split(";")}
        bounds = (spine["first_sequence"], spine["last_sequence"])
        if spine["batch_kind"] != _STREAM:
            within = "audit_sequence BETWEEN %s AND %s"
            return {table: self._rows(table, within, bounds) for table in TABLE_NUMBERS if table in counted}
        if security.TABLE not in counted:
            return None  # an event in quarantine has a row there
        # Why an event was refused is known to nobody afterwards, so it could not be put in quarantine again.
        header = self._rows(LEDGER, "audit_sequence BETWEEN %s AND %s AND status = %s", (*bounds, QUARANTINED))
        if not header:
            return None
        numbers = [row["audit_sequence"] for row in header]
        marks = ", ".join(["%s"] * len(numbers))
        return {
            LEDGER: header,
            security.TABLE: self._rows(security.TABLE, f"audit_sequence IN ({marks})", numbers),
        }

    def _rows(self, table: str, condition: str, parameters: Sequence[Any]) -> list[dict[str, Any]]:
        names = [column.name for column in contracts("audit")[table].columns]
        found = self._ledger.query(
            f"SELECT {', '.join(map(identifier, names))} FROM {identifier(table)} WHERE {condition} "  # noqa: S608
            "ORDER BY audit_sequence, item_no",
            parameters,
        )
        return [dict(zip(names, map(_plain, row), strict=True)) for row in found]

    @contextmanager
    def _locked(self) -> Generator[None]:
        if self._folder is None:
            self._folder = journal_folder(self._root, self._ledger)
            self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _refresh(self) -> None:
        """Read the end again if another relay of this machine wrote meanwhile."""
        path = self._current()
        if path is None or path.stat().st_size != self._size:
            line = self._last_line()
            self._newest = int(line["batch_no"]) if line else None

    def _write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        if not lines:
            return
        assert self._folder is not None  # noqa: S101
        path = self._folder / f"{datetime.now(UTC):%Y-%m-%dT%H}{_OPEN}"
        fresh = not path.exists()
        if fresh:
            self._tidy()
        with path.open("ab") as file:
            file.write(b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
            self._size = file.tell()
        self._newest = int(lines[-1]["batch_no"])

    def _tidy(self) -> None:
        """Compress the hours that are over and remove files that are older than the queues keep their events."""
        oldest = datetime.now(UTC) - self._keep
        for path in self._files():
            hour = datetime.strptime(path.name.partition(".")[0], "%Y-%m-%dT%H").replace(tzinfo=UTC)
            if hour + timedelta(hours=1) < oldest:
                path.unlink()
            elif path.name.endswith(_OPEN):
                _mend(path)
                packed = path.with_name(path.name + ".gz")
                partial = packed.with_suffix(".new")
                with path.open("rb") as plain, gzip.open(partial, "wb") as target:
                    target.writelines(plain)
                partial.replace(packed)
                path.unlink()

    def _files(self) -> list[Path]:
        assert self._folder is not None  # noqa: S101
        return _files_of(self._folder)

    def _current(self) -> Path | None:
        files = self._files()
        return files[-1] if files and files[-1].name.endswith(_OPEN) else None

    def _last_line(self) -> dict[str, Any] | None:
        assert self._folder is not None  # noqa: S101
        for path in self._files():
            if path.name.endswith(_OPEN):
                _mend(path)
                self._size = path.stat().st_size
        return last_line(self._folder)


def journal_folder(root: Path, ledger: Ledger) -> Path:
    """Where the journal of a database lies, whether there is one or not; the database has a first batch.

    Raises:
        AuditUnavailableError: the database cannot be reached.
    """
    ((first,),) = ledger.query(f"SELECT batch_hash FROM {SPINE} WHERE batch_no = 0")  # noqa: S608
    return root / bytes(first).hex()[:16]


def read_journal(folder: Path, after: int = -1) -> Iterator[dict[str, Any]]:
    """The lines of the journal of one database that count, from a batch on; those of numbers declared void are over.

    Bytes are hexadecimal, instants ISO 8601 in UTC.

    Args:
        folder: see `journal_folder`.
        after: the newest batch that is of no interest.
    """
    numbers = array("q", (line["batch_no"] for line in _all_lines(folder)))
    lowest = array("q", numbers)
    for position in range(len(lowest) - 2, -1, -1):
        lowest[position] = min(lowest[position], lowest[position + 1])
    # What was added meanwhile has no number here.
    for number, least, line in zip(numbers, [*lowest[1:], 1 << 62], _all_lines(folder), strict=False):
        if after < number < least:
            yield line


def last_line(folder: Path) -> dict[str, Any] | None:
    """The newest line of the journal of one database; the half of a line that is being written is none."""
    for path in reversed(_files_of(folder)):
        with path.open("rb") if path.name.endswith(_OPEN) else gzip.open(path) as file:
            lines = _tail(file)
        if lines:
            return json.loads(lines[-1])
    return None


def _all_lines(folder: Path) -> Iterator[dict[str, Any]]:
    for path in _files_of(folder):
        if path.name.endswith(_CLOSED):
            with gzip.open(path, "rt", encoding="utf-8") as file:
                yield from map(json.loads, file)
        else:
            with path.open(encoding="utf-8") as file:
                yield from (json.loads(line) for line in file if line.endswith("\n"))


def _files_of(folder: Path) -> list[Path]:
    found = {path.name: path for path in folder.glob(f"*{_OPEN}*") if path.name.endswith((_OPEN, _CLOSED))}
    return [found[name] for name in sorted(found)]


def _mend(path: Path) -> None:
    """Cut off the half of a line that a crash left; the database has the whole."""
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        while size:
            start = max(0, size - _TAIL_BYTES)
            file.seek(start)
            end = file.read(size - start).rfind(b"\n")
            if end >= 0:
                size = start + end + 1
                break
            size = start
        file.truncate(size)


def _tail(file: BinaryIO | gzip.GzipFile) -> list[bytes]:
    """The last lines, whole."""
    size = file.seek(0, os.SEEK_END) if not isinstance(file, gzip.GzipFile) else 0
    length = _TAIL_BYTES
    while True:
        start = max(0, size - length)
        file.seek(start)
        content = file.read()
        content = content[: content.rfind(b"\n") + 1]
        if start == 0 or content.count(b"\n") > 1:
            return content.splitlines()
        length *= 2


def _line(spine: Columns, rows: Mapping[str, Iterable[Columns]] | None = None) -> dict[str, Any]:
    line = {name: _shown(value) for name, value in spine.items()}
    if rows:
        line["rows"] = {
            table: [{n: _shown(v) for n, v in row.items()} for row in found] for table, found in rows.items()
        }
    return line


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, bytearray) else value


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    return value if value is None or isinstance(value, (int, str)) else str(value)
