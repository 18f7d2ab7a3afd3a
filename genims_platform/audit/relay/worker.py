"""Processes that prepare parts, so that a backlog is not bound to one interpreter.

A worker holds nothing that anybody needs: it ends when the relay's end of its pipe is closed, however the relay ended,
and one that dies is replaced by the next order.
"""

import gc
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from typing import Literal

import psycopg2

from genims_platform.audit.encryption.keystore import key_store
from genims_platform.audit.ledger.errors import HaltError
from genims_platform.audit.relay.preparation import Order, Prepared, Preparer, mapper_of
from genims_platform.audit.relay.source_reader import SourceChangedError, SourceReader
from genims_platform.settings import Settings

_COLLECT_AFTER = 100


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
    """At most `count` processes; each is started when there is first a need for it."""

    def __init__(self, settings: Settings, count: int) -> None:
        self.count = count
        self._settings = settings
        self._waiting = ThreadPoolExecutor(max(1, count), "audit-worker")
        self._lock = threading.Lock()
        self._all: set[_Worker] = set()
        self._idle: list[_Worker] = []
        self._ordered = 0
        self._closed = False

    @property
    def idle(self) -> bool:
        """Whether there is a worker without an order."""
        return self._ordered < self.count

    def submit(self, order: Order) -> "Future[Prepared]":
        """Have a part prepared; the future raises what `Preparer.prepare` does, or `WorkerError`."""
        with self._lock:
            self._ordered += 1
        found = self._waiting.submit(self._prepare, order)
        found.add_done_callback(self._finished)
        return found

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        with self._lock:
            self._closed = True
            running = list(self._all)
        for worker in running:
            worker.kill()
        self._waiting.shutdown(cancel_futures=True)

    def _finished(self, _found: "Future[Prepared]") -> None:
        with self._lock:
            self._ordered -= 1

    def _prepare(self, order: Order) -> Prepared:
        worker = self._one()
        try:
            answer = worker.ask(order)
        except BaseException:
            worker.kill()
            with self._lock:
                self._all.discard(worker)
            raise
        with self._lock:
            self._idle.append(worker)
        if isinstance(answer, _Failure):
            raise answer.error()
        return answer

    def _one(self) -> "_Worker":
        with self._lock:
            if self._closed:
                raise WorkerError("the relay ends")
            if self._idle:
                return self._idle.pop()
            worker = _Worker(self._settings)
            self._all.add(worker)
        return worker


class _Worker:
    """One process, used by one thread at a time."""

    def __init__(self, settings: Settings) -> None:
        self._pipe, theirs = Pipe()
        with closing(theirs):
            # A fresh interpreter: a fork would copy threads' locks, and the main module need not be importable.
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-c", f"from {__name__} import main; main()", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._pipe.send(settings)

    def ask(self, order: Order) -> "Prepared | _Failure":
        """What became of an order.

        Raises:
            WorkerError: the process ended meanwhile.
        """
        try:
            self._pipe.send(order)
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


def main() -> None:
    """Work for the relay at the other end of the pipe that the command line names."""
    # The relay ends its workers; an interrupt from the terminal reaches both.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError), Connection(int(sys.argv[1])) as pipe:
        _work(pipe)


if __name__ == "__main__":
    main()
