"""Processes that prepare parts, so that a backlog is not bound to one interpreter.

A worker holds nothing that anybody needs: it ends when the relay's end of its pipe is closed, however the relay ended,
and one that dies is replaced by the next order.
"""

import gc
import logging
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from typing import Any, Literal

import psycopg2

from genims_platform.audit.encryption.keystore import key_store
from genims_platform.audit.ledger.errors import HaltError
from genims_platform.audit.relay import worker_process
from genims_platform.audit.relay.preparation import Order, Prepared, Preparer, mapper_of
from genims_platform.audit.relay.source_reader import SourceChangedError, SourceReader
from genims_platform.audit.relay.worker_process import AT_ONCE, GENTLY
from genims_platform.settings import Settings

_COLLECT_AFTER = 100
_READY = "ready"

_logger = logging.getLogger(__name__)


class WorkerError(ConnectionError):
    """A worker cannot prepare the part for now; it is tried again."""


@dataclass(frozen=True)
class _Failure:
    """What went wrong in a worker: `later` mends itself, `changed` and `halt` need a person."""

    what: Literal["later", "changed", "halt"]
    message: str

    def error(self) -> Exception:
        match self.what:
            case "later":
                return WorkerError(self.message)
            case "changed":
                return SourceChangedError(self.message)
            case "halt":
                return HaltError(self.message)


class Workers:
    """`count` processes. While none of them is ready, the relay works without."""

    def __init__(self, settings: Settings, count: int) -> None:
        self._count = count
        self._settings = settings
        self._threads = ThreadPoolExecutor(max(1, count), "audit-worker")
        self._changed = threading.Condition()
        # Under the condition:
        self._all: set[_Worker] = set()
        self._idle: list[_Worker] = []
        self._ready = 0
        self._ordered = 0
        self._started = self._closed = False

    def start(self, *, gently: bool = False) -> None:
        """Start the processes unless that was done, without waiting for them.

        `gently`: they load when nobody else needs the processor.
        """
        with self._changed:
            if not self._started:
                self._started = True
                for _ in range(self._count):
                    self._threads.submit(self._begin, GENTLY if gently else AT_ONCE)

    @property
    def ready(self) -> bool:
        """Whether any process has started."""
        with self._changed:
            return self._ready > 0

    @property
    def free(self) -> bool:
        """Whether there is a worker without an order."""
        with self._changed:
            return self._ordered < self._ready

    def submit(self, order: Order) -> "Future[Prepared]":
        """Have a part prepared; the future raises what `Preparer.prepare` does, or `WorkerError`."""
        with self._changed:
            self._ordered += 1
        found = self._threads.submit(self._prepare, order)
        found.add_done_callback(self._finished)
        return found

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        with self._changed:
            self._closed = True
            running = list(self._all)
            self._changed.notify_all()
        for worker in running:
            worker.kill()
        self._threads.shutdown(cancel_futures=True)

    def _begin(self, how: str = AT_ONCE) -> None:
        with self._changed:
            if self._closed:
                return
            worker = _Worker(self._settings, how)
            self._all.add(worker)
        try:
            worker.answer()
        except WorkerError as error:
            self._lose(worker)
            _logger.warning("a worker did not start, so the relay prepares events itself: %s", error)
            return
        with self._changed:
            self._ready += 1
            self._idle.append(worker)
            self._changed.notify()

    def _prepare(self, order: Order) -> Prepared:
        with self._changed:
            self._changed.wait_for(lambda: self._idle or not self._ready or self._closed)
            if self._closed or not self._idle:
                raise WorkerError("no worker is left")
            worker = self._idle.pop()
        try:
            worker.send(order)
            answer = worker.answer()
        except BaseException:
            self._lose(worker)
            with self._changed:
                self._ready -= 1
                if not self._closed:
                    self._threads.submit(self._begin)
                self._changed.notify_all()
            raise
        with self._changed:
            self._idle.append(worker)
            self._changed.notify()
        if isinstance(answer, _Failure):
            raise answer.error()
        return answer

    def _lose(self, worker: "_Worker") -> None:
        worker.kill()
        with self._changed:
            self._all.discard(worker)

    def _finished(self, _found: "Future[Prepared]") -> None:
        with self._changed:
            self._ordered -= 1


class _Worker:
    """One process, used by one thread at a time. Its first answer says that it is ready."""

    def __init__(self, settings: Settings, how: str) -> None:
        self._pipe, theirs = Pipe()
        entry = f"from {worker_process.__name__} import main; main()"
        with closing(theirs):
            # A fresh interpreter: a fork would copy threads' locks, and the main module need not be importable.
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-c", entry, str(theirs.fileno()), how],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self.send(settings)

    def send(self, what: object) -> None:
        with suppress(OSError):  # `answer` says that the process is gone
            self._pipe.send(what)

    def answer(self) -> Any:
        """What the worker answers.

        Raises:
            WorkerError: the process ended instead.
        """
        try:
            return self._pipe.recv()
        except (OSError, EOFError):
            raise WorkerError(f"worker process {self._process.pid} ended before its work was done") from None

    def kill(self) -> None:
        """End it; it has nothing to finish."""
        self._process.kill()
        self._process.wait()


def _work(pipe: Connection) -> None:
    """Prepare what is ordered until nobody orders any more."""
    settings: Settings = pipe.recv()
    with closing(key_store(settings)) as keys:
        preparers: dict[str, Preparer] = {}
        # What orders leave behind holds no cycles; looking for some takes a third of the time.
        gc.freeze()
        gc.disable()
        pipe.send(_READY)
        done = 0
        while True:
            order: Order = pipe.recv()
            preparer = preparers.get(order.source)
            if preparer is None:
                reader = SourceReader(order.source, settings.audit_relay(order.source), _pass_by)
                preparer = preparers[order.source] = Preparer(reader, mapper_of(settings, order.source, keys))
            pipe.send(_answer(preparer, order))
            done += 1
            if done % _COLLECT_AFTER == 0:
                gc.collect()


def _answer(preparer: Preparer, order: Order) -> Prepared | _Failure:
    try:
        return preparer.prepare(order)
    except (psycopg2.Error, ConnectionError) as error:
        preparer.close()
        return _Failure("later", str(error).strip())
    except SourceChangedError as error:
        return _Failure("changed", str(error))
    except HaltError as error:
        return _Failure("halt", str(error))
    except Exception as error:
        return _Failure("halt", f"unexpected {type(error).__name__}: {error}")


def _pass_by(_step: str) -> None: ...


def work(pipe: int) -> None:
    """Work for the relay at the other end of the pipe."""
    with suppress(EOFError, BrokenPipeError, ConnectionResetError), Connection(pipe) as connection:
        _work(connection)
