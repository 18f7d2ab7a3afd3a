"""The faults: each does its harm once to a running relay and waits until events flow again."""

import signal
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from secrets import token_hex

import psutil
import psycopg2
from psycopg2 import extensions

from genims_platform.audit.relay.failpoints import Step
from genims_platform.local.process import wait_until
from genims_platform_tests.audit.faults.proxy import Proxy
from genims_platform_tests.audit.faults.run import STALL_SECONDS, Run
from genims_platform_tests.audit.faults.stage import ACCOUNT, MATERIALS, Program

Fault = Callable[[Run], None]

_KNOWN_SECONDS = 0.15
"""InnoDB looks at its transactions only this often for those who ask."""


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
    """SIGKILL of PostgreSQL with all its processes, when commits were acknowledged that are in no file yet.

    Until then the relay works on commits that only its own ticks have written out.
    """
    run.some_batches()
    with run.stage.nothing_flushed(run.workload):
        run.progress(2)
        run.relay.send(signal.SIGSTOP)
        before = run.acknowledged()
        wait_until(lambda: run.acknowledged() >= before + 4, STALL_SECONDS, "nobody commits asynchronously")
        run.stage.kill_postgres()
        run.relay.send(signal.SIGCONT)
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


def two_without_locks(run: Run) -> None:
    """Two relays write at once, no lock between them; each in turn is stopped with a batch half written."""
    run.restart("--without-lock")
    other = run.stage.relay("--without-lock")
    for stopped, goes_on in ((run.relay, other), (other, run.relay)):
        # Which of two writes is left to chance, and may be the same one for minutes.
        goes_on.send(signal.SIGSTOP)
        before = run.head()
        wait_until(lambda: stopped.process.pid in run.writers(before), STALL_SECONDS, stopped.tail())  # noqa: B023
        _stop_amid_a_batch(run, stopped)
        goes_on.send(signal.SIGCONT)
        time.sleep(4)  # longer than the other one waits for a lock of a row
        stopped.send(signal.SIGCONT)
        run.progress(3)
    both = run.relay, other
    wait_until(lambda: any("lost races" in relay.tail() for relay in both), STALL_SECONDS, "no race was lost")
    for relay in both:
        assert relay.running, relay.tail()
    other.kill()
    run.restart()
    run.progress()


def _stop_amid_a_batch(run: Run, relay: Program) -> None:
    """Stop a relay while it has written rows that are not committed."""
    deadline = time.monotonic() + STALL_SECONDS
    while time.monotonic() < deadline:
        relay.send(signal.SIGSTOP)
        time.sleep(_KNOWN_SECONDS)
        ports = {link.laddr.port for link in psutil.Process(relay.process.pid).net_connections() if link.laddr}
        writing = run.stage.audit(
            "SELECT p.host FROM information_schema.innodb_trx t JOIN information_schema.processlist p "
            "ON p.id = t.trx_mysql_thread_id WHERE t.trx_rows_modified > 0"
        )
        if any(int(host.rpartition(":")[2]) in ports for (host,) in writing):
            return
        relay.send(signal.SIGCONT)
        time.sleep(run.random.uniform(0, 0.05))
    raise TimeoutError(f"the relay was never met amid a batch:\n{relay.tail()}")


def open_transactions(run: Run) -> None:
    """A writer and a reader that do not end, a prepared transaction that is left, a writer in another database."""
    stage, key = run.stage, f"open {token_hex(4)}"
    elsewhere = psycopg2.connect(stage.postgres.superuser_dsn)
    with (
        closing(elsewhere),
        stage.session("crm") as writing,
        stage.session("crm") as reading,
        stage.session("crm") as left,
    ):
        reading.set_session(isolation_level=extensions.ISOLATION_LEVEL_REPEATABLE_READ)
        left.autocommit = True
        for session, statement in (
            (elsewhere, "CREATE TEMPORARY TABLE kept AS SELECT pg_current_xact_id()"),
            (writing, f"{ACCOUNT}; SAVEPOINT kept"),
            (reading, "SELECT count(*) FROM accounts"),
            (left, f"BEGIN; {ACCOUNT}; PREPARE TRANSACTION %(id)s"),
        ):
            with session.cursor() as cursor:
                cursor.execute(statement, {"id": f"{key} {'left' if session is left else 'kept'}"})
        for number in range(3):
            run.delivered(f"{key} {number}")
        assert not run.knows(f"{key} left")
        assert not run.knows(f"{key} kept")
        with left.cursor() as cursor:
            cursor.execute("COMMIT PREPARED %s", (f"{key} left",))
        writing.commit()
        for name in ("left", "kept"):
            run.wait_for(f"{key} {name}")
    run.progress()


def large_transaction(rows: int) -> Fault:
    """One transaction of so many rows, while other sources go on."""

    def inject(run: Run) -> None:
        key = f"large {token_hex(4)} "
        before = run.head()
        run.stage.execute("erp", MATERIALS, {"id": key, "rows": rows})
        run.wait_for(f"{key}{rows}", STALL_SECONDS + rows / 100)
        between = run.stage.audit(
            "SELECT COUNT(*) FROM audit_sequence_manager o JOIN (SELECT MIN(batch_no) AS first, MAX(batch_no) AS last "
            "FROM audit_sequence_manager WHERE batch_no > %s AND source_db = 'erp' AND part_no > 0) l "
            "ON o.batch_no BETWEEN l.first AND l.last WHERE o.source_db <> 'erp' AND o.event_count > 0",
            (before,),
        )
        assert between[0][0] > 0, "no other source was served while the large transaction was delivered"

    return inject


def large_value(run: Run) -> None:
    """A value of 20 MB."""
    key = f"value {token_hex(4)}"
    run.stage.execute("crm", ACCOUNT, {"id": key})
    text = "repeat('Straße 🏭 ' || md5('x'), 20 << 20 >> 6) || 'end'"
    run.stage.execute("crm", f"UPDATE accounts SET description = {text} WHERE account_id = %(id)s", {"id": key})
    run.delivered(f"{key} after")


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
    proxy.freeze("requests", "answers")
    run.progress(2)


def deaf(run: Run, proxy: Proxy) -> None:
    """No answer arrives any more on the connections that are open; what is asked does."""
    run.some_batches()
    proxy.freeze("answers")
    run.progress(2)


def mute(run: Run, proxy: Proxy) -> None:
    """Nothing that is asked arrives any more on the connections that are open."""
    run.some_batches()
    proxy.freeze("requests")
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
    "PostgreSQL killed, its last commits lost": kill_postgres,
    "leader stopped, standby works, leader goes on": stop_one_of_two,
    "leader stopped for 21 s": stop_for_a_moment,
    "two relays without locks, stopped amid a batch": two_without_locks,
    "connection reset after COMMIT": behind_proxy(reset_after_commit),
    "half-open connection": behind_proxy(half_open),
    "answers do not arrive": behind_proxy(deaf),
    "requests do not arrive": behind_proxy(mute),
    "answers take 2 s": behind_proxy(slow),
    "transactions that stay open": open_transactions,
    "one transaction of 5,000 rows": large_transaction(5_000),
    "one transaction of 20,000 rows": large_transaction(20_000),
    "a value of 20 MB": large_value,
}
