"""Answers that are found once and shared, also between threads."""

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Once(Generic[Answer]):
    """Answers by question: the first thread to ask finds one, the others wait for it; an error is shared as well.

    What finds an answer must not call Polars if threads of Polars ask: one that waits for Polars may be given the work
    of another, ask there for its own answer, and wait for ever.
    """

    def __init__(self) -> None:
        self._answers: dict[Hashable, Future[Answer]] = {}
        self._lock = threading.Lock()

    def get(self, question: Hashable, find: Callable[[], Answer]) -> Answer:
        """The answer to `question`, from `find` if nobody asked before."""
        with self._lock:
            known = self._answers.get(question)
            answer = known or self._answers.setdefault(question, Future())
        if known is None:
            try:
                answer.set_result(find())
            except BaseException as error:
                answer.set_exception(error)
                raise
        return answer.result()
