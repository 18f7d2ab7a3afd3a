"""How a worker process begins: loading takes more than a second of CPU, which a busy machine would miss elsewhere."""

import os
import signal
import sys
import threading
from contextlib import suppress
from importlib import import_module

AT_ONCE, GENTLY = "at-once", "gently"

_LOWEST_PRIORITY = 19
_WORK = "genims_platform.audit.relay.worker"


def main() -> None:
    """Load as the command line says, then work at the end of a pipe that it names."""
    # The relay ends its workers; an interrupt from the terminal reaches both.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe, how = sys.argv[1:]
    if how == GENTLY:
        # A process may not raise its priority again. A thread of a low one ends, and the others never had it.
        loading = threading.Thread(target=_load_gently)
        loading.start()
        loading.join()
    else:
        _load()
    import_module(_WORK).work(int(pipe))


def _load_gently() -> None:
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
    _load()


def _load() -> None:
    import_module(_WORK)
    from genims_platform.audit.ledger.layout import load_layouts  # noqa: PLC0415
    from genims_platform.audit.policy import audit_policy  # noqa: PLC0415

    load_layouts()
    audit_policy()
