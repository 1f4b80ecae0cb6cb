"""The commands of `python -m cluster`: up, down, join, status, demo."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import sys
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from types import FrameType
from typing import Any

from cluster import config as configuration
from cluster import display, launch, ray_node, run_state
from cluster.config import Config, VenueSection
from cluster.storage.store_spec import StoreSpec
from features.errors import ConfigError, TickcastError


def demo(arguments: argparse.Namespace) -> int:
    """A generated market, forecast live, until Ctrl-C. It begins with an hour that has happened already."""
    config = _for_this_run_only(_with_overrides(_preset("demo"), arguments), resume=False)
    market = ["--generate", *config.symbols, "--seed", str(arguments.seed)]
    market += ["--history", str(arguments.history), "--wait-for", "all"]
    return _run(config, market, arguments.detach)


def up(arguments: argparse.Namespace) -> int:
    """Start with a config, a replay, or both; stay until Ctrl-C unless told to detach."""
    if arguments.config is None and not arguments.replay:
        raise ConfigError("nothing to run", "up", "give --config FILE, --replay FILE..., or both")
    config = configuration.load(arguments.config) if arguments.config else _preset("replay")
    exchange = None
    if arguments.replay:
        exchange = _replay_arguments(arguments)
        config = _for_replay(config, arguments.symbols)
    config = _with_overrides(config, arguments)
    if arguments.replay:
        config = _for_this_run_only(config, arguments.resume)
    return _run(config, exchange, arguments.detach)


def down(arguments: argparse.Namespace) -> int:
    """End the run of this folder; nothing of it is left behind."""
    state = run_state.read(arguments.run_dir)
    if state is None:
        print("nothing is running")
        return 0
    launch.down(state, _say)
    print("stopped")
    return 0


def join(arguments: argparse.Namespace) -> int:
    """Add this machine to a running cluster, until Ctrl-C. Symbols move here as they are started anew."""
    signal.signal(signal.SIGTERM, _interrupt)
    return ray_node.join(arguments.address, arguments.token_file, arguments.cpus)


def status(arguments: argparse.Namespace) -> int:
    """What runs and how every symbol is doing; exit code 1 when nothing does."""
    state = run_state.read(arguments.run_dir)
    if state is None or not state.alive():
        print(json.dumps({"running": False}) if arguments.json else "nothing is running")
        return 1
    # Ray prints what happens to nodes and workers on standard output: no place for it between our lines.
    with contextlib.redirect_stdout(sys.stderr):
        launch.connect(state)
        symbols, nodes = launch.symbol_status(), launch.node_status()
    report = {
        "running": True,
        "api": state.api_url,
        "dashboard": state.dashboard_url,
        "ray_address": state.ray_address,
        "token_file": state.token_file,
        "environment": state.environment,
        "processes": [{"role": one.role, "pid": one.pid} for one in state.alive()],
        "exchange": state.exchange,
        "symbols": symbols,
        **nodes,
    }
    if arguments.json:
        print(json.dumps(report))
    else:
        display.print_status(report)
    return 0


def _run(config: Config, exchange: list[str] | None, detach: bool) -> int:
    previous = signal.signal(signal.SIGTERM, _interrupt)
    state = None
    try:
        state = launch.up(config, exchange, _say)
        display.print_addresses(state)
        if detach:
            print("running in the background; `python -m cluster down` ends it")
            return 0
        display.follow(state)
    except KeyboardInterrupt:
        print()
    finally:
        signal.signal(signal.SIGTERM, previous)
        if state is not None and not detach:
            _uninterrupted(lambda: launch.down(state, _say))
            print("stopped")
    return 0


def _uninterrupted(work: Callable[[], Any]) -> None:
    """Run the clean-up to its end, however often Ctrl-C is pressed."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        work()
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _preset(name: str) -> Config:
    with resources.as_file(resources.files("cluster") / "presets" / f"{name}.yaml") as path:
        return configuration.load(path)


def _with_overrides(config: Config, arguments: argparse.Namespace) -> Config:
    """The config with what the command line says about this machine."""
    updates: dict[str, Any] = {"run_dir": arguments.run_dir}
    if arguments.port is not None:
        updates["serve"] = config.serve.model_copy(update={"port": arguments.port})
    return configuration.parse(Config, config.model_copy(update=updates).model_dump(), "settings")


def _for_replay(config: Config, symbols: list[str] | None) -> Config:
    """The config for a replay: event time is not our time, so only the next event closes a bar."""
    return config.model_copy(
        update={
            "symbols": tuple(symbols) if symbols else config.symbols,
            "bars": config.bars.model_copy(update={"heartbeat_delay": None}),
            "venue": VenueSection(
                name="binance",
                quotes=config.venue.quotes,
                options=config.venue.options | {"verbatim_symbols": True},
            ),
        }
    )


def _for_this_run_only(config: Config, resume: bool) -> Config:
    """The config with storage of its own, empty at first: the next replay has other trades of the same ids.

    Storage that the config names is used as it is.
    """
    if config.storage.lake is not None or config.storage.data_dir is not None:
        return config
    folder = config.run_dir.absolute() / "replayed"
    if not resume:
        if run_state.is_alive(config.run_dir):
            return config  # refused in a moment, and the data in use are left alone
        shutil.rmtree(folder, ignore_errors=True)
    storage = {"lake": StoreSpec(uri=str(folder / "lake")), "data_dir": str(folder)}
    return config.model_copy(update={"storage": config.storage.model_copy(update=storage)})


def _replay_arguments(arguments: argparse.Namespace) -> list[str]:
    """What the local exchange is told."""
    words = ["--replay", *arguments.replay, "--speed", arguments.speed, "--wait-for", "all"]
    if arguments.symbols:
        words += ["--symbols", *arguments.symbols]
    if arguments.session:
        words += ["--session", arguments.session]
    if arguments.skip_idle is not None:
        words += ["--skip-idle", str(arguments.skip_idle)]
    if arguments.keep_suspicious:
        words += ["--keep-suspicious"]
    return words


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(prog="python -m cluster", description="Run Tickcast on this machine.")
    commands = root.add_subparsers(dest="command", required=True)
    here = argparse.ArgumentParser(add_help=False)
    here.add_argument("--run-dir", type=Path, default=Path(".tickcast"), help="state and logs (.tickcast)")
    starting = argparse.ArgumentParser(add_help=False, parents=[here])
    starting.add_argument("--detach", action="store_true", help="return once everything runs")
    starting.add_argument("--port", type=int, help="HTTP port (the config's, 8000)")

    one = commands.add_parser("up", parents=[starting], help="start", description=up.__doc__)
    one.add_argument("--config", type=Path, metavar="FILE", help="settings (YAML)")
    one.add_argument("--replay", nargs="+", metavar="FILE", help="replay recorded trades (Parquet)")
    one.add_argument("--speed", default="1", help="1, 120, ... or max: as fast as it can be taken in")
    one.add_argument("--resume", action="store_true", help="go on with what the last replay has stored")
    one.add_argument("--symbols", nargs="+", help="replay only these")
    one.add_argument("--session", metavar="HH:MM-HH:MM", help="replay only this part of each day, UTC")
    one.add_argument("--skip-idle", type=float, metavar="SECONDS", help="no pause takes longer than this")
    one.add_argument("--keep-suspicious", action="store_true", help="replay prints marked suspicious too")
    one.set_defaults(run=up)

    one = commands.add_parser(
        "demo", parents=[starting], help="a live demonstration", description=demo.__doc__
    )
    one.add_argument("--seed", type=int, default=1, help="of the generated market (1)")
    one.add_argument("--history", type=float, default=3600, help="seconds of it that lie in the past (3600)")
    one.set_defaults(run=demo)

    one = commands.add_parser("down", parents=[here], help="stop", description=down.__doc__)
    one.set_defaults(run=down)

    one = commands.add_parser("join", help="add this machine to a cluster", description=join.__doc__)
    one.add_argument("--address", required=True, metavar="HOST:PORT", help="where the head's Ray listens")
    one.add_argument("--token-file", type=Path, required=True, help="the cluster's token, from the head")
    one.add_argument("--cpus", type=int, help="logical CPUs (the machine's)")
    one.set_defaults(run=join)

    one = commands.add_parser("status", parents=[here], help="show what runs", description=status.__doc__)
    one.add_argument("--json", action="store_true", help="as one JSON object")
    one.set_defaults(run=status)
    return root


def main(words: list[str] | None = None) -> int:
    """Run one command. What went wrong is one line on stderr and exit code 2."""
    arguments = parser().parse_args(words)
    try:
        code: int = arguments.run(arguments)
        return code
    except TickcastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
