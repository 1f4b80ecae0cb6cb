"""The local exchange as a process of its own, for `up --replay`, `demo` and the fault drill.

It can be killed and started again on the same addresses, as a venue that was away for a while: what
it would have published meanwhile has been published then (`--opened-at`).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

from cluster.ray_node import StartError
from cluster.run_state import Process
from features.errors import ConfigError

_START_LIMIT_S = 60.0
_END_LIMIT_S = 10.0
_LOOK_EVERY_S = 0.05
_MODULE = "cluster.exchange"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A running local exchange."""

    pid: int
    websocket_url: str
    rest_url: str
    symbols: tuple[str, ...]
    """The symbols that it trades."""

    @property
    def ports(self) -> tuple[int, int]:
        """Of the websocket and of REST."""
        return urlsplit(self.websocket_url).port or 0, urlsplit(self.rest_url).port or 0

    def state(self) -> dict[str, Any]:
        """What `GET /tickcast/state` says now. Raises httpx.HTTPError when it does not answer."""
        state: dict[str, Any] = httpx.get(f"{self.rest_url}/tickcast/state").raise_for_status().json()
        return state


def start(
    arguments: Sequence[str],
    run_dir: Path,
    ports: tuple[int, int] = (0, 0),
    opened_at_ns: int | None = None,
) -> Exchange:
    """Start `python -m cluster.exchange` with these arguments and wait until it listens.

    `ports` are those of the websocket and of REST, 0 for a free one; `opened_at_ns` is when it opened,
    by the wall clock (None: it opens now). Its output is added to `exchange.log` in `run_dir`; its
    `exchange.json` there names the newest process. Raises ConfigError with its own words when it
    refuses the arguments, StartError when it does not come up.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    ready, log = run_dir / "exchange.json", run_dir / "exchange.log"
    ready.unlink(missing_ok=True)
    words = ["--ready-file", str(ready), "--port", str(ports[0]), "--rest-port", str(ports[1])]
    if opened_at_ns is not None:
        words += ["--opened-at", str(opened_at_ns)]
    with log.open("ab") as output:
        said_before = output.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", _MODULE, *words, *arguments],
            cwd=Path.cwd(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline:
        if exchange := _listening(ready, process.pid):
            return exchange
        if process.poll() is not None:
            raise ConfigError(_last_words(log, said_before).removeprefix("error: "), "local exchange")
        time.sleep(_LOOK_EVERY_S)
    process.kill()
    process.wait()
    raise StartError(f"the local exchange did not listen within {_START_LIMIT_S:g} s", fix=f"see {log}")


def end(pid: int, at_once: bool = False) -> None:
    """End the local exchange of this pid and return when it is gone; its ports are free then.

    It gets SIGTERM, and SIGKILL if it does not listen; `at_once` sends SIGKILL alone, as a crash would
    be. Nothing happens when it has ended already. Raises ConfigError when the pid is not a local
    exchange's.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return
        if _MODULE not in process.cmdline():
            raise ConfigError(f"process {pid} is no local exchange", fix="give the pid that `start` gave")
        known = Process.of("exchange", pid)
        if not at_once:
            process.terminate()
            if _gone(known):
                return
        process.kill()
    except psutil.NoSuchProcess:
        return
    if not _gone(known):
        raise StartError(f"the local exchange {pid} did not end within {_END_LIMIT_S:g} s")


@dataclass(slots=True)
class RestartableExchange:
    """A local exchange that can be killed and comes back as if it had never been away.

    `exchange` is the process that runs now; its pid changes with every restart, its addresses don't.
    """

    exchange: Exchange
    arguments: tuple[str, ...]
    run_dir: Path
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def start(
        cls, arguments: Sequence[str], run_dir: Path, ports: tuple[int, int] = (0, 0)
    ) -> RestartableExchange:
        """Start one; see `start` above. The arguments name neither ports nor an opening."""
        return cls(start(arguments, run_dir, ports), tuple(arguments), run_dir)

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        return self.exchange.pid

    @property
    def rest_url(self) -> str:
        """Where REST and the control endpoints are."""
        return self.exchange.rest_url

    def restart(self, away_s: float) -> dict[str, Any]:
        """Kill it with SIGKILL and start it again `away_s` seconds later, on the same ports.

        Gives its last state before that: what it knew of faults is lost with it. Raises ConfigError
        when it has not begun to publish, and what `start` raises.
        """
        before = self.exchange.state()
        if before["opened_at_ns"] is None:
            raise ConfigError(
                "the local exchange has not begun to publish, so it can't carry on",
                fix="restart it after the first streams are subscribed",
            )
        end(self.exchange.pid, at_once=True)
        self.sleep(away_s)
        self.exchange = start(self.arguments, self.run_dir, self.exchange.ports, before["opened_at_ns"])
        return before

    def end(self) -> None:
        """End the process that runs now."""
        end(self.exchange.pid)


def _listening(ready: Path, pid: int) -> Exchange | None:
    """The exchange of this pid once it has written where it listens."""
    try:
        said = json.loads(ready.read_text(encoding="utf-8"))
        if said["pid"] != pid:
            return None
        exchange = Exchange(pid, said["websocket_url"], said["rest_url"], ())
        symbols = tuple(exchange.state()["symbols"])
    except (FileNotFoundError, httpx.HTTPError):
        return None
    return Exchange(pid, exchange.websocket_url, exchange.rest_url, symbols)


def _last_words(log: Path, start: int) -> str:
    text = log.read_bytes()[start:].decode("utf-8", errors="replace")
    return (text.strip().splitlines() or ["no words"])[-1]


def _gone(process: Process) -> bool:
    """Whether it ends within the limit. A zombie has ended: its parent may not have looked yet."""
    deadline = time.monotonic() + _END_LIMIT_S
    while process.find() is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_EVERY_S)
    return True
