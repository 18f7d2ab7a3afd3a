"""Steps at which a test may have the relay killed, to prove that whatever is cut off loses and repeats nothing."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from typing import Literal, get_args

from genims_platform.settings import SettingsError

Step = Literal[
    "before_tick",
    "after_tick",
    "after_keys",
    "after_spine",
    "mid_details",
    "before_commit",
    "after_commit",
    "before_journal",
]


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Failpoint:
    """Kills this process when it passes one step for the n-th time; without a setting it does nothing."""

    def __init__(self, setting: str | None, kill: Callable[[], None] = _kill) -> None:
        """`setting` is `step:n`, as `AUDIT_FAILPOINT` holds it.

        Raises:
            SettingsError: it names no step, or no number from 1 on.
        """
        self._step, self._number = _parsed(setting) if setting else (None, 0)
        self._kill = kill
        self._passed: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, step: str) -> None:
        """Say that this step is passed."""
        if step != self._step:
            return
        with self._lock:
            self._passed[step] += 1
            if self._passed[step] == self._number:
                self._kill()


def _parsed(setting: str) -> tuple[str, int]:
    step, _, number = setting.partition(":")
    if step not in get_args(Step) or not number.isdecimal() or int(number) < 1:
        raise SettingsError(
            f"AUDIT_FAILPOINT={setting!r}: STEP:N is expected, the N-th passing of one of {', '.join(get_args(Step))}"
        )
    return step, int(number)
