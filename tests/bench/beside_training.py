"""Trainings that go on beside a measurement: one process a core, as `python -m jobs.train` starts them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.bench.minute_lake import VENUE, minute_lake
from tests.bench.processes import cpu_s

_ROOT = Path(__file__).resolve().parents[2]
_BUSY_S = 5.0
_LIMIT_S = 60.0


class Trainings:
    """The processes that train."""

    def __init__(self, started: list[subprocess.Popen[bytes]]) -> None:
        self._started = started
        self._processes = processes = [psutil.Process(one.pid) for one in started]
        self._began_s, self._cpu_s = time.monotonic(), cpu_s(processes)

    @property
    def cores(self) -> float:
        """How many cores they have had since they were busy."""
        return (cpu_s(self._processes) - self._cpu_s) / (time.monotonic() - self._began_s)

    @property
    def alive(self) -> bool:
        """Whether all of them still train."""
        return all(one.poll() is None for one in self._started)

    def wait_until_busy(self) -> None:
        """Return once each has computed for a while: imports are over and trees grow."""
        deadline = time.monotonic() + _LIMIT_S
        while any(cpu_s([process]) < _BUSY_S for process in self._processes):
            if time.monotonic() > deadline or not self.alive:
                raise RuntimeError("the trainings beside the measurement have not begun")
            time.sleep(0.1)
        self._began_s, self._cpu_s = time.monotonic(), cpu_s(self._processes)


@contextmanager
def trainings(bars: int) -> Iterator[Trainings]:
    """Train on so many generated minutes, a process a core, until the context is left."""
    with minute_lake(bars) as place:
        started = [subprocess.Popen(_command(place.uri, number), cwd=_ROOT) for number in range(_cores())]
        try:
            found = Trainings(started)
            found.wait_until_busy()
            yield found
        finally:
            for one in started:
                one.kill()
                one.wait()


def _cores() -> int:
    return os.cpu_count() or 1


def _command(lake: str, number: int) -> list[str]:
    words = ["--lake", lake, "--venue", VENUE, "--symbol", f"S{number}", "--local", "--dry-run"]
    # More rounds than can be done while it is measured, none of them the last for want of gain.
    words += ["--horizon", "5m", "--rounds", "100000", "--early-stop", "100000"]
    return [sys.executable, "-m", "jobs.train", *words]
