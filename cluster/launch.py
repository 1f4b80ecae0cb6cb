"""Bringing a Tickcast up on this machine, and down again.

Ray reads its environment, the cluster's token included, when it is imported: it is imported here only
after `connect` has set it.

Order up: check → local exchange (if asked for) → Ray → supervisor and its actors → Serve. Down is the
way back. Whatever fails on the way up, what was started before is ended again.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import psutil

from cluster import config as configuration
from cluster import exchange_process, names, ray_node, run_state
from cluster.config import Config
from cluster.errors import StoreUnreachable
from cluster.ray_environment import SERVE_SWITCHES
from cluster.ray_node import StartError
from cluster.run_state import Process, RunState
from cluster.storage.objects import open_store
from cluster.storage.retention import install_retention
from features.errors import ConfigError, TickcastError

Say = Callable[[str], None]
EVERY_SYMBOL = ("*",)
"""In place of symbols: all that the local exchange trades."""
_ANSWER_LIMIT_S = 30.0
_STOP_LIMIT_S = 30.0
_ARCHIVE_LIMIT_S = 120.0
_QUIET = {"log_level": "WARNING"}


def up(config: Config, exchange_arguments: list[str] | None, say: Say) -> RunState:
    """Start everything; returns what runs. On any error everything is ended again and the error raised."""
    require_nothing_running(config)
    config = config.in_place()
    state = RunState(config.run_dir)
    try:
        _warm_kernels()
        _prepare_lake(config, say)
        if exchange_arguments is not None:
            config = _start_exchange(config, exchange_arguments, state, say)
        _start_ray(config, state, say)
        _start_actors(config, say)
        _start_serve(config, state, say)
        state.save()
        return state
    except BaseException:
        down(state, lambda text: None)
        raise


def down(state: RunState, say: Say) -> None:
    """End everything that the state names, the polite way first."""
    say("stopping")
    with contextlib.suppress(Exception):
        # Politely first: connections get a close frame. Whatever fails here is ended below all the same.
        connect(state)
        _stop_politely()
    for process in reversed(state.processes):
        if process.role != "ray":
            _end(process)
        elif process.find() is not None:
            ray_node.stop(process.pid, Path(state.temp_dir))
        else:
            # Its pid may be somebody else's by now; what it left behind names our folder.
            ray_node.stop(None, Path(state.temp_dir))
    state.forget()


def connect(state: RunState) -> None:
    """Join the run's Ray as a client process. Raises TickcastError when it can't be reached."""
    if not any(process.role == "ray" for process in state.alive()):
        raise TickcastError(
            f"Ray at {state.ray_address} has ended", fix="run `python -m cluster down`, then up"
        )
    os.environ.update(state.environment)
    import ray

    if ray.is_initialized():
        return
    try:
        ray.init(
            address=state.ray_address,
            namespace=names.NAMESPACE,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise TickcastError(f"Ray at {state.ray_address} can't be reached: {error}") from None


def require_nothing_running(config: Config) -> None:
    """ConfigError when a run of this folder is alive, or a port that we need is taken."""
    before = run_state.read(config.run_dir)
    if before is not None and before.alive():
        raise ConfigError(
            f"a Tickcast is running already (API at {before.api_url})",
            str(config.run_dir),
            "run `python -m cluster down` first, or set another run_dir",
        )
    ray_node.require_free_port("127.0.0.1", config.ray.port, "Ray", "ray.port")
    dashboard = config.ray.dashboard_port
    ray_node.require_free_port(
        config.ray.dashboard_host, dashboard, "the Ray dashboard", "ray.dashboard_port"
    )
    ray_node.require_free_port(config.serve.host, config.serve.port, "the API", "serve.port")


def symbol_status() -> dict[str, Any]:
    """What the supervisor of the cluster that we are connected to knows of every symbol."""
    import ray

    supervisor = ray.get_actor(names.SUPERVISOR, namespace=names.NAMESPACE)
    status: dict[str, Any] = ray.get(supervisor.status.remote(), timeout=_ANSWER_LIMIT_S)
    return status


def node_status() -> dict[str, Any]:
    """How the agents of the nodes are doing: what waits for the lake, and why."""
    import ray

    supervisor = ray.get_actor(names.SUPERVISOR, namespace=names.NAMESPACE)
    nodes: dict[str, Any] = ray.get(supervisor.nodes.remote(), timeout=_ANSWER_LIMIT_S)
    return nodes


def _warm_kernels() -> None:
    """Compile the kernels if an installation has not: every actor at once would take minutes over it."""
    done = subprocess.run(
        [sys.executable, "-m", "features.warm_up"],
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        words = done.stderr.strip().splitlines()[-1:]
        raise StartError(f"the kernels could not be compiled: {' '.join(words)}", "features.warm_up")


def _prepare_lake(config: Config, say: Say) -> None:
    """Make the lake's folder or bucket, with its retention. Raises StoreRefused: wrong keys shall show
    now, not in an hour.

    A store that is away for now is no reason not to start: what it would get waits on disk.
    """
    retention = config.storage.retention
    try:
        store = open_store(config.lake_spec())
        store.prepare()
        if not install_retention(store, retention) and retention.expire_days:
            say("this lake keeps no retention rules itself; jobs.compact --config applies them")
    except StoreUnreachable as error:
        say(f"the lake can't be reached, its data wait on disk: {error}")


def _start_exchange(config: Config, arguments: list[str], state: RunState, say: Say) -> Config:
    say("starting the local exchange")
    exchange = exchange_process.start(arguments, config.run_dir)
    state.processes.append(Process.of("exchange", exchange.pid))
    state.exchange = {"websocket_url": exchange.websocket_url, "rest_url": exchange.rest_url}
    symbols = exchange.symbols if config.symbols == EVERY_SYMBOL else config.symbols
    return config.model_copy(
        update={
            "symbols": symbols,
            "venue": config.venue.model_copy(
                update={"websocket_url": exchange.websocket_url, "rest_url": exchange.rest_url}
            ),
        }
    )


def _start_ray(config: Config, state: RunState, say: Say) -> None:
    say("starting Ray")
    folder = ray_node.temp_dir(config.run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    token_file = ray_node.write_token(config.run_dir)
    variables = ray_node.node_environment(config, token_file)
    state.temp_dir = str(folder)
    state.token_file = str(token_file.resolve())
    state.environment = variables
    state.ray_address = f"127.0.0.1:{config.ray.port}"
    state.dashboard_url = f"http://{config.ray.dashboard_host}:{config.ray.dashboard_port}"
    state.api_url = f"http://{config.serve.host}:{config.serve.port}"
    process = ray_node.start(config, variables, folder)
    state.processes.append(Process.of("ray", process.pid))
    state.save()
    connect(state)


def _start_actors(config: Config, say: Say) -> None:
    from cluster.supervisor import start_supervisor

    say("starting the symbol actors")
    start_supervisor(config)


def _start_serve(config: Config, state: RunState, say: Say) -> None:
    from ray import serve
    from ray.exceptions import RayError

    say("starting the API")
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    application = _application(config)
    try:
        serve.start(
            http_options={"host": config.serve.host, "port": config.serve.port}, logging_config=_QUIET
        )
        serve.run(application, name=names.SERVE_APPLICATION, route_prefix="/")
    except (RayError, RuntimeError) as error:
        # Ray's text holds the whole remote traceback; what matters stands in the lines that HAProxy marks.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        words = [line for line in lines if "ALERT" in line] or lines[-1:]
        raise StartError(
            f"the API did not start: {words[0]}", "serve", f"logs are in {state.temp_dir}"
        ) from None
    switches = " ".join(f"{name}={state.environment.get(name, '')}" for name in SERVE_SWITCHES)
    say(f"the API runs with {switches}")


def _application(config: Config) -> Any:
    """The Serve application that the config names, built with its options.

    As in Ray Serve's own typed builders, the builder's one argument says what the options are. It is
    named in the config, not imported above, because `serve_app` builds on `cluster`.
    """
    module, _, function = config.serve.application.partition(":")
    try:
        build = getattr(importlib.import_module(module), function)
        (settings,) = [kind for name, kind in get_type_hints(build).items() if name != "return"]
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{config.serve.application!r} builds no application: {error}",
            "serve.application",
            'name a function of one settings object, for example "serve_app.app:build"',
        ) from None
    return build(configuration.parse(settings, config.serve.options, "serve.options"))


def _stop_politely() -> None:
    """Let every actor close its connection and save its state, and the lake get the rest.

    Serve ends with Ray: its own shutdown waits half a minute.
    """
    import ray

    supervisor = ray.get_actor(names.SUPERVISOR, namespace=names.NAMESPACE)
    ray.get(supervisor.stop.remote(), timeout=_ARCHIVE_LIMIT_S)
    ray.shutdown()


def _end(process: Process) -> None:
    """Terminate a process of ours; kill it when it does not listen."""
    found = process.find()
    if found is None:
        return
    found.terminate()
    try:
        found.wait(_STOP_LIMIT_S)
    except psutil.TimeoutExpired:
        found.kill()
        found.wait(_STOP_LIMIT_S)
