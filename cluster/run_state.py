"""The state file of a run on this machine: what `up` started, for `status` and `down` to find.

It names processes by pid and start time, so that a pid that the system has given to somebody else
is never taken for ours.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from features.errors import ConfigError

_FILE = "run.json"


@dataclass(frozen=True, slots=True)
class Process:
    """A process that we started."""

    role: str
    pid: int
    started: float

    @classmethod
    def of(cls, role: str, pid: int) -> Process:
        """The running process of this pid."""
        return cls(role, pid, psutil.Process(pid).create_time())

    def find(self) -> psutil.Process | None:
        """The process itself; None when it has ended, even if its pid lives on."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < 1.0
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


@dataclass(slots=True)
class RunState:
    """What is running, where, and how to reach it."""

    run_dir: Path
    ray_address: str = ""
    dashboard_url: str = ""
    api_url: str = ""
    token_file: str = ""
    temp_dir: str = ""
    config: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    exchange: dict[str, str] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)

    def save(self) -> None:
        """Write the file, whole or not at all."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        values = {key: value for key, value in asdict(self).items() if key != "run_dir"}
        partial = self.run_dir / f"{_FILE}.{os.getpid()}"
        partial.write_text(json.dumps(values, indent=1), encoding="utf-8")
        partial.replace(self.run_dir / _FILE)

    def forget(self) -> None:
        """Remove the file: nothing runs any more."""
        (self.run_dir / _FILE).unlink(missing_ok=True)

    def alive(self) -> list[Process]:
        """Those of the processes that are still running."""
        return [process for process in self.processes if process.find() is not None]


def read(run_dir: Path) -> RunState | None:
    """The state of the run in this folder; None where none was left. ConfigError for a damaged file."""
    path = run_dir / _FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        processes = [Process(**process) for process in values.pop("processes")]
        return RunState(run_dir=run_dir, processes=processes, **values)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"is damaged ({error})", str(path), "end leftover processes, then remove it"
        ) from None


def is_alive(run_dir: Path) -> bool:
    """Whether the run of this folder is running."""
    state = read(run_dir)
    return state is not None and bool(state.alive())
