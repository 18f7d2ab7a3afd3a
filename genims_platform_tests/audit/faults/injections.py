"""The faults: each does its harm once to a running relay and waits until events flow again."""

import signal
import time
from collections.abc import Callable, Mapping

from genims_platform.audit.relay.failpoints import Step
from genims_platform.local.process import wait_until
from genims_platform_tests.audit.faults.proxy import Proxy
from genims_platform_tests.audit.faults.run import STALL_SECONDS, Run

Fault = Callable[[Run], None]


def kill_relay(run: Run) -> None:
    """SIGKILL at any moment."""
    run.some_batches()
    time.sleep(run.random.uniform(0, 0.1))
    run.restart()
    run.progress()


def kill_relay_at(*steps: Step) -> Fault:
    """Relays that kill themselves at a step of their work, one after another."""

    def inject(run: Run) -> None:
        for step in steps:
            run.restart(AUDIT_FAILPOINT=f"{step}:{run.random.randint(2, 5)}")
            code = run.relay.wait(STALL_SECONDS)
            assert code == -signal.SIGKILL, f"it ended with {code} instead of dying at {step}:\n{run.relay.tail()}"
        run.restart()
        run.progress()

    return inject


def kill_mysql(run: Run) -> None:
    """SIGKILL of mysqld, which comes back after up to two seconds."""
    run.some_batches()
    run.stage.kill_mysql()
    time.sleep(run.random.uniform(0.5, 2))
    run.stage.revive(run.stage.mysql)
    run.progress(2)
    assert run.relay.running, run.relay.tail()


def kill_postgres(run: Run) -> None:
    """SIGKILL of PostgreSQL with all its processes, while some applications commit asynchronously."""
    run.some_batches()
    run.stage.kill_postgres()
    time.sleep(run.random.uniform(0.2, 1))
    run.stage.revive(run.stage.postgres)
    run.progress(2)
    assert run.relay.running, run.relay.tail()


def stop_one_of_two(run: Run) -> None:
    """The leader is stopped for longer than a standby waits, and goes on while that one works."""
    standby = run.stage.relay("--standby")
    run.some_batches()
    time.sleep(run.random.uniform(0, 0.05))
    run.relay.send(signal.SIGSTOP)
    run.progress(2)
    run.relay.send(signal.SIGCONT)
    run.progress(3)
    run.relay.kill()
    run.relay = standby
    run.progress()


def stop_for_a_moment(run: Run) -> None:
    """Stopped at any moment for longer than the server keeps its silent connections, and continued."""
    standby = run.stage.relay("--standby")
    run.some_batches()
    run.relay.send(signal.SIGSTOP)
    run.progress(2)
    time.sleep(21)
    run.relay.send(signal.SIGCONT)
    run.progress(3)
    standby.kill()
    run.progress()


def behind_proxy(harm: Callable[[Run, Proxy], None]) -> Fault:
    """A relay whose way to the audit database is harmed."""

    def inject(run: Run) -> None:
        with Proxy(run.stage.mysql.port) as proxy:
            run.restart(MYSQL_AUDIT_PORT=str(proxy.port))
            run.progress()
            harm(run, proxy)
            run.progress(2)
            run.relay.kill()
        run.restart()
        run.progress()

    return inject


def reset_after_commit(run: Run, proxy: Proxy) -> None:
    """COMMIT arrives, its answer does not: three times."""
    for number in range(1, 4):
        proxy.reset_next_commit(encrypted=run.stage.engine == "mysql")
        # A batch that was under way already passes untouched.
        wait_until(lambda: proxy.resets >= number, STALL_SECONDS, "no COMMIT came through the proxy")  # noqa: B023
        run.progress(run.random.randint(1, 3))


def half_open(run: Run, proxy: Proxy) -> None:
    """Nothing passes any more on the connections that are open, and nobody is told."""
    run.some_batches()
    proxy.freeze()
    run.progress(2)


def slow(run: Run, proxy: Proxy) -> None:
    """Every answer takes two seconds."""
    proxy.delay = 2
    run.progress(2)
    proxy.delay = 0


FAULTS: Mapping[str, Fault] = {
    "relay killed": kill_relay,
    "relay killed before a tick": kill_relay_at("before_tick"),
    "relay killed after a tick": kill_relay_at("after_tick"),
    "relay killed after the keys": kill_relay_at("after_keys"),
    "relay killed after the spine row": kill_relay_at("after_spine"),
    "relay killed amid the details": kill_relay_at("mid_details"),
    "relay killed before COMMIT": kill_relay_at("before_commit"),
    "relay killed after COMMIT": kill_relay_at("after_commit"),
    "relay killed before the journal": kill_relay_at("before_journal"),
    "MySQL killed": kill_mysql,
    "PostgreSQL killed": kill_postgres,
    "leader stopped, standby works, leader goes on": stop_one_of_two,
    "leader stopped for 21 s": stop_for_a_moment,
    "connection reset after COMMIT": behind_proxy(reset_after_commit),
    "half-open connection": behind_proxy(half_open),
    "answers take 2 s": behind_proxy(slow),
}
