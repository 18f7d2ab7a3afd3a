"""The tamper table: each manipulation of the trail as an administrator, and what the verifier said about it.

python -m benchmarks.audit_tampering [mariadb|mysql]
"""

import sys
import tempfile
from pathlib import Path
from typing import cast

from genims_platform.audit.accounts import ensure_accounts
from genims_platform.audit.database import audit_database
from genims_platform.local import servers
from genims_platform.local.servers import Engine
from genims_platform.mysql.deploy import deploy
from genims_platform.settings import load_settings
from genims_platform_tests.audit.conftest import drop, with_accounts
from genims_platform_tests.audit.verify.attacker import Attacker
from genims_platform_tests.audit.verify.manipulations import MANIPULATIONS
from genims_platform_tests.audit.verify.test_tampering import tampered
from genims_platform_tests.audit.verify.trail import START, Trail


def main(engine: Engine) -> None:
    environment = servers.up(engine, Path(".genims/test")).environment()
    settings = load_settings({name.lower(): value for name, value in environment.items()})
    own = with_accounts(settings, engine, "genims_t_tampering")
    database = audit_database(own)
    drop(database, own)  # of a run that was stopped
    deploy(database, "audit", today=START.date())
    ensure_accounts(database, own)
    try:
        with tempfile.TemporaryDirectory() as home:
            trail = Trail(own, Path(home))
            trail.build()
            attacker = Attacker(trail)
            _print_table(attacker, engine)
            attacker.close()
            trail.ledger.close()
    finally:
        drop(database, own)


def _print_table(attacker: Attacker, engine: Engine) -> None:
    print("| what was done | code | first bad number | found too |\n|---|---|---|---|")
    for manipulation in MANIPULATIONS:
        if manipulation.engine not in (None, engine):
            print(f"| {manipulation.name} | {manipulation.code} | only {manipulation.engine} allows it | |")
            continue
        done = tampered(attacker, manipulation)
        named = [found for found in done.findings if found.code == manipulation.code]
        others = sorted({found.code for found in done.findings} - {manipulation.code}, key=lambda code: int(code[1:]))
        first = min((found.sequence for found in named if found.sequence is not None), default=None)
        verdict = manipulation.code if named else "NOT FOUND"
        print(
            f"| {manipulation.name} | {verdict} | {'' if first is None else first} | {', '.join(others)} |", flush=True
        )


if __name__ == "__main__":
    main(cast("Engine", sys.argv[1] if len(sys.argv) > 1 else "mariadb"))
