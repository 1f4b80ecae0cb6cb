"""Jobs make way; tested in a process of its own, as there is no way back."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import os, threading
{before}
from jobs.politeness import be_polite
be_polite(2)
import pyarrow
seen = []
thread = threading.Thread(target=lambda: seen.append(
    (os.sched_getscheduler(0) == os.SCHED_IDLE, os.getpriority(os.PRIO_PROCESS, 0))
))
thread.start(), thread.join()
print(*seen[0], pyarrow.cpu_count())
"""


def _run(before: str = "") -> list[str]:
    words = [sys.executable, "-c", _PROGRAM.format(before=before)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()


def test_threads_take_only_what_is_left_over() -> None:
    """As idle tasks; where the system does not allow that, with niceness 15."""
    idle, niceness, threads = _run()
    assert (idle == "True" or int(niceness) >= 15) and threads == "2"
    refused = "def refuse(*a): raise PermissionError\nos.sched_setscheduler = refuse"
    assert _run(refused) == ["False", "15", "2"]
    assert _run(refused + "\nos.setpriority(os.PRIO_PROCESS, 0, 19)")[1] == "19"
