"""What processes take of CPU and memory, read from /proc."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterable
from pathlib import Path

import psutil

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_BUSY = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq, steal


def busy_s() -> float:
    """CPU seconds that all processes of the machine, and its hypervisor, have taken since boot."""
    with open("/proc/stat") as file:
        fields = [int(field) for field in file.readline().split()[1:]]
    return sum(fields[i] for i in _BUSY) / _TICKS_PER_S


def own_s() -> float:
    """CPU seconds of this process and of those of its children that it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def family(pid: int, mention: str) -> list[psutil.Process]:
    """The process, its descendants, and all whose command line holds the text `mention`."""
    found: set[psutil.Process] = set()
    with contextlib.suppress(psutil.NoSuchProcess):
        found |= {psutil.Process(pid), *psutil.Process(pid).children(recursive=True)}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(mention in part for part in process.cmdline()):
                found.add(process)
    return [process for process in found if process.pid != os.getpid()]


def title(process: psutil.Process) -> str:
    """What a process calls itself: its command line; "" when it has ended."""
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def cpu_s(processes: Iterable[psutil.Process]) -> float:
    """CPU seconds that these processes have taken so far; those that have ended count nothing."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def memory_mb(pid: int) -> dict[str, float]:
    """`uss_mb`, what the process alone holds; `pss_mb`, with its share of what several hold; `rss_mb`.

    `written_mb` is what of `uss_mb` the process itself has written: the rest are pages of files, which count
    as long as no other process of the machine happens to have them too.
    """
    kilobytes: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if rest.strip().endswith("kB"):
            kilobytes[name] = int(rest.split()[0])
    unique = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
    return {
        "written_mb": kilobytes["Private_Dirty"] / 1024,
        "uss_mb": unique / 1024,
        "pss_mb": kilobytes["Pss"] / 1024,
        "rss_mb": kilobytes["Rss"] / 1024,
    }


class ForeignLoad:
    """CPU that processes other than ours took between its making and `cores`."""

    def __init__(self, now_s: float, ours: list[psutil.Process]) -> None:
        self._ours = ours
        self._began_s, self._busy, self._own = now_s, busy_s(), own_s() + cpu_s(ours)

    def cores(self, now_s: float) -> float:
        """Average number of cores that others kept busy."""
        taken = busy_s() - self._busy - (own_s() + cpu_s(self._ours) - self._own)
        return max(0.0, taken / (now_s - self._began_s))
