"""The local exchange as a process of its own, for `up --replay` and `demo`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from cluster.ray_node import StartError
from features.errors import ConfigError

_START_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """A running local exchange."""

    pid: int
    websocket_url: str
    rest_url: str
    symbols: tuple[str, ...]
    """The symbols that it trades."""


def start(arguments: list[str], run_dir: Path) -> Exchange:
    """Start `python -m cluster.exchange` with these arguments and wait until it listens.

    Raises ConfigError with its own words when it refuses them, StartError when it does not come up.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    ready, log = run_dir / "exchange.json", run_dir / "exchange.log"
    ready.unlink(missing_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "cluster.exchange", "--ready-file", str(ready), *arguments],
            cwd=Path.cwd(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline:
        if ready.exists():
            said = json.loads(ready.read_text(encoding="utf-8"))
            state = httpx.get(f"{said['rest_url']}/tickcast/state").json()
            return Exchange(process.pid, said["websocket_url"], said["rest_url"], tuple(state["symbols"]))
        if process.poll() is not None:
            words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no words"]
            raise ConfigError(words[-1].removeprefix("error: "), "local exchange")
        time.sleep(0.05)
    process.kill()
    raise StartError(f"the local exchange did not listen within {_START_LIMIT_S:g} s", fix=f"see {log}")
