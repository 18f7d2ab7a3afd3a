"""Workers prepare what the relay would prepare itself, and nothing is left of them when it ends."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing

import psutil
import pytest

from genims_platform.audit.encryption.keystore import key_store
from genims_platform.audit.relay.bulk_scan import BulkScan
from genims_platform.audit.relay.preparation import Order, Preparer, mapper_of
from genims_platform.audit.relay.source_reader import SourceChangedError, SourceReader
from genims_platform.audit.relay.worker import WorkerError, Workers
from genims_platform.local.process import wait_until
from genims_platform.settings import Settings
from genims_platform_tests.audit.relay.test_delivery import EMPLOYEE
from genims_platform_tests.audit.relay.trail import PATIENCE, Trail


@pytest.fixture(scope="module")
def order(trail_of_three: Trail) -> Order:
    """Events of persons, and a transaction that is a bulk operation."""
    small = trail_of_three.settings.model_copy(update={"audit_bulk_rows": 5})
    hcm = trail_of_three.sources["hcm"]
    with closing(_reader(small)) as reader:
        reader.open()
        before = reader.newest_tick()
        for number in range(3):
            hcm.execute(EMPLOYEE, {"id": f"W{number}"})
        with hcm.session() as connection, connection, connection.cursor() as cursor:
            for number in range(6):
                cursor.execute(EMPLOYEE, {"id": f"X{number}"})
        found = reader.range(before, reader.newest_tick())
        keys = found.keys
        groups = BulkScan(keys, 5, 0).within(0, len(keys))
        return Order("hcm", 1, keys[:], groups, {}, reader.roots, found.upto, found.token)


@pytest.fixture
def workers(trail_of_three: Trail) -> Generator[Workers]:
    with closing(Workers(trail_of_three.settings, 1)) as made:
        made.start()
        wait_until(lambda: made.ready, PATIENCE, "no worker is ready")
        yield made


def _reader(settings: Settings) -> SourceReader:
    return SourceReader("hcm", settings.audit_relay("hcm"), lambda _: None)


def _started() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "worker" in " ".join(child.cmdline())]


def test_a_worker_prepares_what_the_relay_itself_would(workers: Workers, trail_of_three: Trail, order: Order) -> None:
    settings = trail_of_three.settings
    with closing(_reader(settings)) as reader, closing(key_store(settings)) as keys:
        own = Preparer(reader, mapper_of(settings, "hcm", keys)).prepare(order)
    assert workers.submit(order).result(PATIENCE) == own
    assert len(own.entries) == 9
    assert [table for entry in own.entries for table, _ in entry].count("bulk_operation_audit") == 1


def test_a_worker_loads_at_the_lowest_priority_and_works_at_the_usual_one(trail_of_three: Trail) -> None:
    def niceness(process: psutil.Process) -> list[int]:
        return [os.getpriority(os.PRIO_PROCESS, thread.id) for thread in process.threads()]

    usual = os.getpriority(os.PRIO_PROCESS, 0)
    with closing(Workers(trail_of_three.settings, 1)) as workers:
        workers.start(gently=True)
        wait_until(lambda: bool(_started()), PATIENCE, "no worker starts")
        (process,) = _started()
        wait_until(lambda: 19 in niceness(process), PATIENCE, "nothing is of a low priority")
        wait_until(lambda: workers.ready, PATIENCE, "no worker is ready")
        # Threads of allocators, which libraries started meanwhile, keep the low one; they do no work of a worker.
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == usual


def test_a_killed_worker_is_replaced(workers: Workers, order: Order) -> None:
    first = workers.submit(order).result(PATIENCE)
    (process,) = _started()
    process.kill()
    with pytest.raises(WorkerError, match="ended before"):
        workers.submit(order).result(PATIENCE)
    wait_until(lambda: workers.ready, PATIENCE, "no worker takes the place of the killed one")
    assert workers.submit(order).result(PATIENCE) == first


def test_a_worker_refuses_another_history_of_the_source(workers: Workers, order: Order) -> None:
    other = Order("hcm", 1, order.keys, order.bulk, {}, {}, order.tick, bytes(16))
    with pytest.raises(SourceChangedError, match="restored or made anew"):
        workers.submit(other).result(PATIENCE)


_RELAY = """
import os, pickle, signal, sys, time, psutil
from genims_platform.audit.relay.worker import Workers
settings, order = pickle.load(sys.stdin.buffer)
workers = Workers(settings, 1)
workers.start()
while not workers.ready:
    time.sleep(0.05)
workers.submit(order).result()
print(psutil.Process().children()[0].pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_relay_leaves_no_worker_behind(trail_of_three: Trail, order: Order) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _RELAY],
        input=pickle.dumps((trail_of_three.settings, order)),
        stdout=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    worker = int(done.stdout)
    assert worker != os.getpid()
    wait_until(lambda: not psutil.pid_exists(worker), PATIENCE, "the worker goes on without its relay")
