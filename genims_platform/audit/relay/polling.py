"""How long to wait: between two looks at a queue, and between two attempts when a server does not answer."""

import random

EMPTY_POLLS_AT_FULL_PACE = 4

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
_JITTER = 0.25


class Pace:
    """Seconds between two looks at one queue: short while there is work, doubling up to a limit while there is none."""

    def __init__(self, shortest: float, longest: float) -> None:
        self._shortest = shortest
        self._longest = longest
        self._empty = 0

    def after(self, *, found: bool) -> float:
        """The pause after a look that found events or none."""
        self._empty = 0 if found else self._empty + 1
        doublings = max(0, self._empty - EMPTY_POLLS_AT_FULL_PACE)
        # A large exponent would overflow after a quiet night.
        return min(self._longest, self._shortest * 2 ** min(doublings, 10))


class Backoff:
    """Seconds between two attempts: doubling from 0.2 to 5, varied by a quarter so that writers keep out of step."""

    def __init__(self) -> None:
        self.failures = 0

    def after_failure(self) -> float:
        """The pause before the next attempt."""
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self.failures, 10))
        self.failures += 1
        return pause * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret

    def succeeded(self) -> None:
        """Start over with the short pause."""
        self.failures = 0
