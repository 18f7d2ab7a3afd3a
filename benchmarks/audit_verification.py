"""How many rows a second the verifier recomputes: one process, then two, on a trail of ordinary updates.

python -m benchmarks.audit_verification [events]
"""

import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from genims_platform.audit.accounts import ensure_accounts
from genims_platform.audit.capture.queue import Event
from genims_platform.audit.database import audit_database
from genims_platform.audit.verify.verifier import Scope, verify
from genims_platform.local import servers
from genims_platform.mysql.deploy import deploy
from genims_platform.settings import load_settings
from genims_platform_tests.audit.conftest import drop, with_accounts
from genims_platform_tests.audit.verify.trail import START, Trail, row_event

BATCH = 1000


def main(events: int) -> None:
    environment = servers.up("mariadb", Path(".genims/test")).environment()
    settings = load_settings({name.lower(): value for name, value in environment.items()})
    own = with_accounts(settings, "mariadb", "genims_t_verify_speed")
    database = audit_database(own)
    drop(database, own)  # of a run that was stopped
    with tempfile.TemporaryDirectory() as home:
        deploy(database, "audit", today=START.date())
        ensure_accounts(database, own)
        try:
            _measure(Trail(own, Path(home)), events)
        finally:
            drop(database, own)


def _measure(trail: Trail, events: int) -> None:
    trail.control("GENESIS", "MARK", "GENESIS", payload={"instance": "speed"})
    trail.stream("crm", [], kind="OPEN")
    for first in range(0, events, BATCH):
        batch = [_update(number) for number in range(first + 1, first + BATCH + 1)]
        recorded_at = trail.head.recorded_at + timedelta(seconds=1) if trail.head else START
        trail.stream("crm", batch, recorded_at=recorded_at)
    print(f"{trail.rows.total()} rows of {events} events")
    for processes in (1, 2):
        started = time.process_time()
        done = verify(trail.settings, Scope("full"), processes=processes)
        used = time.process_time() - started
        codes = sorted({found.code for found in done.findings} - {"V14"})
        print(
            f"{processes} process(es): {done.seconds:.1f} s, {done.rows / done.seconds:,.0f} rows/s"
            f"{f', {done.rows / used:,.0f} rows a second of processor time' if processes == 1 else ''}"
            f", findings {codes or 'none'}"
        )


def _update(number: int) -> Event:
    old = {"account_id": f"ACC-{number:06d}", "account_name": "Müller & Söhne", "credit_limit": "100.10"}
    new = {**old, "credit_limit": "250.00", "account_name": f"Müller {number}"}
    return row_event(number, "UPDATE", "accounts", "customer", old["account_id"], old, new)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
