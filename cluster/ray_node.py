"""The Ray head node that `up` starts on this machine, and its end.

`ray start --head --block` runs as a process of its own, in a session of its own: it outlives the
command line, and ending it ends its GCS, raylet, dashboard and workers. Nothing else on the machine
is touched, whatever Ray it runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from cluster.config import Config
from cluster.ray_environment import environment
from features.errors import ConfigError, TickcastError

_START_LIMIT_S = 90.0
_STARTED = "Ray runtime started"
"""What `ray start` says once its GCS and raylet answer."""
_GRACE_S = 5.0


class StartError(TickcastError):
    """Something that `up` starts did not come up."""


def require_free_port(host: str, port: int, what: str, setting: str) -> None:
    """ConfigError when something on this machine listens on the port already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"port {port} for {what} is taken ({error.strerror})",
                setting,
                f"end what listens there, or set {setting} to a free port",
            ) from None


def free_port(preferred: int) -> int:
    """The preferred port where nothing listens on it, else one that the system picks."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("", port))
                return int(probe.getsockname()[1])
    raise StartError("this machine has no free port")


def temp_dir(run_dir: Path) -> Path:
    """Ray's folder for this run: short, because Unix socket names are limited to some 100 characters."""
    mark = hashlib.sha256(str(run_dir.resolve()).encode()).hexdigest()[:8]
    return Path(tempfile.gettempdir()) / f"tickcast-{os.getuid()}-{mark}"


def write_token(run_dir: Path) -> Path:
    """The file with the cluster's token, made anew for each run, readable by its owner only."""
    run_dir.mkdir(parents=True, exist_ok=True)
    path = run_dir / "ray-token"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    return path


def node_environment(config: Config, token_file: Path) -> dict[str, str]:
    """The variables of every Ray process of this run; the config's own win."""
    ports = {
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port(9101)),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port(8404)),
    }
    return environment(token_file.resolve()) | ports | config.ray.environment


def start(config: Config, variables: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    """Start the head node and wait until it accepts connections. Raises StartError with its last words."""
    log = config.run_dir / "ray.log"
    command = [
        sys.executable,
        "-m",
        "ray.scripts.scripts",
        "start",
        "--head",
        "--block",
        "--disable-usage-stats",
        f"--port={config.ray.port}",
        f"--dashboard-host={config.ray.dashboard_host}",
        f"--dashboard-port={config.ray.dashboard_port}",
        f"--temp-dir={folder}",
        f"--object-store-memory={config.ray.object_store_bytes}",
        f"--ray-client-server-port={free_port(10001)}",
        f"--dashboard-agent-listen-port={free_port(52365)}",
    ]
    if config.ray.cpus:
        command.append(f"--num-cpus={config.ray.cpus}")
    project = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join([project, *filter(None, [os.environ.get("PYTHONPATH")])])
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **variables, "PYTHONPATH": path},
        )
    _await_start(process, folder, log)
    return process


def stop(pid: int, folder: Path) -> None:
    """End the head node of this pid and all that belongs to it; whatever is left is killed.

    Ray keeps nothing that a slower end would save: our actors have closed their connections before.
    """
    family = _family(pid, folder)
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    psutil.wait_procs(family, timeout=_GRACE_S)
    while leftover := _family(pid, folder, family):
        for process in leftover:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(leftover, timeout=_GRACE_S)
        family = leftover


def _family(pid: int, folder: Path, known: Iterable[psutil.Process] = ()) -> list[psutil.Process]:
    """Those alive: the process, its descendants, what names our temp folder, and of those `known`."""
    found = {process for process in known if process.is_running()}
    with contextlib.suppress(psutil.NoSuchProcess):
        found |= {psutil.Process(pid), *psutil.Process(pid).children(recursive=True)}
    found |= set(_mentioning(str(folder)))
    return [process for process in found if process.pid != os.getpid() and not _is_zombie(process)]


def _is_zombie(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    return True


def _mentioning(text: str) -> Iterable[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(text in part for part in process.cmdline()):
                yield process


def _await_start(process: subprocess.Popen[bytes], folder: Path, log: Path) -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        if _STARTED in log.read_text(encoding="utf-8", errors="replace"):
            return
        time.sleep(0.1)
    words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    stop(process.pid, folder)
    raise StartError("Ray did not start: " + " ".join(words), "ray", f"the whole log is in {log}")
