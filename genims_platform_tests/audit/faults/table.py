"""Prints the table of faults for the documentation.

python -m genims_platform_tests.audit.faults.table --minutes 5 [--engine mysql] [--seed 1]

Starts servers of its own and stops them at the end.
"""

import argparse
import sys
import time

from genims_platform_tests.audit.faults.injections import FAULTS
from genims_platform_tests.audit.faults.soak import soak, table
from genims_platform_tests.audit.faults.stage import stage
from genims_platform_tests.audit.faults.writes import without_and_with_relay

WRITE_SECONDS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--engine", choices=["mariadb", "mysql"], default="mariadb")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--fault", choices=list(FAULTS), action="append", help="only this one; repeatable")
    options = parser.parse_args()
    with stage(options.engine) as made:
        made.new_trail()
        alone, beside = without_and_with_relay(made, WRITE_SECONDS)
        print(f"writes without relay: {alone}\nwrites with relay: {beside}\n", flush=True)  # noqa: T201
        lines = soak(
            made,
            options.minutes * 60,
            options.seed,
            lambda text: print(text, file=sys.stderr, flush=True),  # noqa: T201
            options.fault or tuple(FAULTS),
        )
        print(f"seed {options.seed}, {made.postgres.version()}, {made.engine} {made.mysql.version()}\n\n{table(lines)}")  # noqa: T201
    sys.exit(any(any(line.found.values()) for line in lines))


if __name__ == "__main__":
    main()
