"""The Ray head node that `up` starts on this machine, and its end; and a node that joins another.

`ray start --head --block` runs as a process of its own, in a session of its own: it outlives the
command line, and ending it ends its GCS, raylet, dashboard and workers. Nothing else on the machine
is touched, whatever Ray it runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
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
_PORTS = range(20_000, 30_000)


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
    """The preferred port where nothing listens on it, else another one that nothing listens on."""
    with contextlib.suppress(OSError), socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("", preferred))
        return preferred
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different ports that nothing listens on.

    From a range that neither the system nor Ray hands out by itself (Ray's workers listen on 10002 to
    19999, Serve's replicas from 30000 on, and the system's own range begins at 32768): what is free now
    is free when it is used.
    """
    found: list[int] = []
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("", port))
            found.append(port)
        if len(found) == count:
            return found
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
    return environment(token_file.resolve()) | _haproxy_ports() | config.ray.environment


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
    if config.ray.cpus is not None:
        command.append(f"--num-cpus={config.ray.cpus}")
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=_with_project(variables),
        )
    _await_start(process, folder, log)
    return process


def join(address: str, token_file: Path, cpus: int | None) -> int:
    """Run a node of this machine that joins the cluster at `address`, until it ends; its exit code.

    For `python -m cluster join`. SIGINT and SIGTERM end the node. Raises ConfigError for a token file that
    can't be read.
    """
    if not os.access(token_file, os.R_OK):
        raise ConfigError("the cluster's token can't be read", str(token_file), "copy it from the head node")
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={address}"]
    command += ["--block", "--disable-usage-stats", f"--dashboard-agent-listen-port={free_port(52365)}"]
    if cpus is not None:
        command.append(f"--num-cpus={cpus}")
    # On a machine that has a node already, the second one takes other ports.
    ports = _haproxy_ports() | {"RAY_SERVE_WORKER_PROXY_HTTP_PORT": str(free_port(8000))}
    process = subprocess.Popen(command, env=_with_project(environment(token_file.resolve()) | ports))
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        return process.wait()


def _with_project(variables: dict[str, str]) -> dict[str, str]:
    """Our environment with these variables, and with this project where Python looks for modules."""
    project = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join([project, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, **variables, "PYTHONPATH": path}


def _haproxy_ports() -> dict[str, str]:
    return {
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port(9101)),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port(8404)),
    }


def stop(pid: int | None, folder: Path) -> None:
    """End the head node of this pid and all that belongs to it; whatever is left is killed.

    None for a node that has ended: what it left behind is found by its temp folder.

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


def _family(pid: int | None, folder: Path, known: Iterable[psutil.Process] = ()) -> list[psutil.Process]:
    """Those alive: the process, its descendants, what names our temp folder, and of those `known`."""
    found = {process for process in known if process.is_running()}
    with contextlib.suppress(psutil.NoSuchProcess):
        if pid is not None:
            found |= {psutil.Process(pid), *psutil.Process(pid).children(recursive=True)}
    if folder.is_absolute():
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
