"""A command run to its end: wall seconds and peak memory of its process tree."""

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from genims_platform.settings import PROJECT_ROOT

SAMPLE_SECONDS = 0.2
TAIL_BYTES = 4000


class CommandFailedError(RuntimeError):
    """The command ended with an exit code other than 0; the message holds the end of its output."""


@dataclass(frozen=True)
class Measured:
    """Wall and CPU seconds, imports included, and the largest sum of resident bytes over the processes of the tree."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def run_measured(command: Sequence[str], settings: Mapping[str, str] | None = None) -> Measured:
    """Run a command with this project's Dagster instance, and with `settings` as environment variables.

    Raises:
        CommandFailedError: its exit code is not 0.
    """
    environment = {**os.environ, "DAGSTER_HOME": str(PROJECT_ROOT), **(settings or {})}
    with tempfile.TemporaryFile() as output:
        started, cpu_before = time.perf_counter(), _cpu_of_ended_children()
        process = psutil.Popen(command, cwd=PROJECT_ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
        peak = 0
        while True:
            peak = max(peak, _resident_bytes(process))
            try:
                code = process.wait(SAMPLE_SECONDS)
                break
            except psutil.TimeoutExpired:
                continue
        seconds = time.perf_counter() - started
        if code:
            output.seek(max(0, output.tell() - TAIL_BYTES))
            tail = output.read().decode(errors="replace")
            raise CommandFailedError(f"{' '.join(command)} ended with exit code {code}:\n{tail}")
    return Measured(seconds, _cpu_of_ended_children() - cpu_before, peak)


def _cpu_of_ended_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _resident_bytes(process: psutil.Process) -> int:
    total = 0
    try:
        for member in (process, *process.children(recursive=True)):
            total += member.memory_info().rss
    except psutil.NoSuchProcess:
        # A process that ended between the two calls holds no memory.
        pass
    return total
