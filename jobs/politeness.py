"""Jobs make way: learning offline must not slow down the forecasts that are made beside it.

Called first thing by every process that computes for long: a job's own, before it starts threads, and its
tasks on Ray. Threads inherit it from the one that starts them; what runs already, like Ray's, is left alone.
"""

from __future__ import annotations

import os

import pyarrow as pa

NICENESS = 15


def be_polite(threads: int = 1) -> None:
    """Give this thread, and those that it starts, only the processor time that nobody else wants.

    On Linux as an idle task, which leaves the processor the moment that another wakes up; where that is not
    allowed, with niceness 15. There is no way back for the process. Arrow reads with `threads` threads.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError):
        if os.getpriority(os.PRIO_PROCESS, 0) < NICENESS:
            os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    pa.set_cpu_count(threads)
    pa.set_io_thread_count(max(2, threads))
