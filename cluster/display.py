"""What `up`, `demo` and `status` show a person."""

from __future__ import annotations

import sys
import time
from typing import Any

import httpx
from rich.console import Console
from rich.live import Live
from rich.table import Table

from cluster.run_state import RunState

_EVERY_S = 1.0
_LINES_EVERY_S = 10.0


def print_addresses(state: RunState) -> None:
    """Where to look, once everything runs."""
    console = Console(highlight=False)
    console.print(f"  page and API   {state.api_url}/")
    console.print(f"  API reference  {state.api_url}/docs")
    console.print(f"  Ray dashboard  {state.dashboard_url}")
    console.print(f"  Ray token      {state.token_file}", soft_wrap=True)
    if state.exchange:
        console.print(f"  local exchange {state.exchange['websocket_url']}")


def follow(state: RunState) -> None:
    """Show forecasts as they are made, through the API, until interrupted."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    client = httpx.Client(base_url=state.api_url, timeout=5.0)
    if not console.is_terminal:
        while True:
            console.print(_table(client))
            time.sleep(_LINES_EVERY_S)
    with Live(_table(client), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(_EVERY_S)
            live.update(_table(client), refresh=True)


def _table(client: httpx.Client) -> Table:
    table = Table(title="Forecasts, live. Ctrl-C ends everything.", title_justify="left")
    for name in ("symbol", "price", "horizon", "forecast", "change", "interval", "p up", "R² vs naive"):
        table.add_column(name, justify="left" if name in ("symbol", "horizon") else "right")
    try:
        symbols = [one["symbol"] for one in client.get("/v1/symbols").json()["symbols"]]
        answer = client.post("/v1/forecasts", json={"symbols": symbols})
        said = answer.json()
        for forecast in said.get("forecasts", []):
            table.add_row(*_row(forecast, client))
        for problem in said.get("problems", []):
            table.add_row(problem.get("symbol", ""), problem.get("detail", ""))
    except (httpx.HTTPError, ValueError) as error:
        table.add_row("", f"the API does not answer: {type(error).__name__}")
    return table


def _row(forecast: dict[str, Any], client: httpx.Client) -> list[str]:
    scores = client.get(f"/v1/scores/{forecast['symbol']}").json()["scores"]
    mine = [s for s in scores if s["model"] == forecast["model"] and s["horizon"] == forecast["horizon"]]
    skill = mine[0]["lifetime"]["r2"] if mine else None
    return [
        forecast["symbol"],
        f"{forecast['price']:,.6g}",
        forecast["horizon"],
        f"{forecast['price_forecast']:,.8g}",
        f"{forecast['expected_return'] * 1e4:+.2f} bp",
        f"{forecast['lower']:,.7g} to {forecast['upper']:,.7g}",
        f"{forecast['p_up']:.0%}",
        "-" if skill is None else f"{skill:+.2%} (n {mine[0]['count']:,})",
    ]


def print_status(report: dict[str, Any]) -> None:
    """A status report as a table."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(f"API {report['api']}   Ray {report['ray_address']}   dashboard {report['dashboard']}")
    running = ", ".join(f"{one['role']} (pid {one['pid']})" for one in report["processes"])
    switches = ("RAY_SERVE_ENABLE_HA_PROXY", "RAY_SERVE_THROUGHPUT_OPTIMIZED", "RAY_AUTH_MODE")
    console.print(f"processes: {running}")
    console.print("   ".join(f"{name}={report['environment'].get(name, '')}" for name in switches))
    table = Table()
    for name in ("symbol", "state"):
        table.add_column(name)
    for name in (
        "trades",
        "bars",
        "doubled",
        "gaps filled",
        "missing",
        "restarts",
        "models",
        "p99",
        "waiting",
    ):
        table.add_column(name, justify="right")
    for symbol, one in report["symbols"].items():
        events, continuity = one.get("events", {}), one.get("continuity", {})
        p99 = one.get("tick_to_forecast", {}).get("p99_ms")
        table.add_row(
            symbol,
            one["state"] + (f": {one['reason']}" if one["reason"] else ""),
            f"{events.get('trades', 0):,}",
            f"{events.get('bars', 0):,}",
            f"{continuity.get('duplicates', 0):,}",
            f"{continuity.get('gaps_filled', 0):,}",
            f"{continuity.get('missing', 0):,}",
            f"{one.get('replaced', 0):,}",
            _models(one.get("models", {}).get("slots", {})),
            "-" if p99 is None else f"{p99:.1f} ms",
            f"{one.get('storage', {}).get('log_bytes', 0) / 2**20:.1f} MiB",
        )
    console.print(table)
    console.print("models: champion / challengers. p99: tick to forecast. waiting: not yet in the lake.")
    for symbol, one in report["symbols"].items():
        for slot, problem in one.get("models", {}).get("problems", {}).items():
            console.print(f"{symbol} {slot}: {problem}")
    for symbol, problem in report.get("registry", {}).get("problems", {}).items():
        console.print(f"registry{symbol and f', {symbol}'}: {problem}")
    for node, one in report.get("nodes", {}).items():
        _print_node(console, node, one)


def _models(slots: dict[str, int]) -> str:
    return " / ".join(str(version or "-") for version in slots.values()) if any(slots.values()) else "-"


def _print_node(console: Console, node: str, one: dict[str, Any]) -> None:
    """One line on how a node's data get to the lake."""
    if "lake" not in one:
        console.print(f"node {node[:8]}: {one['problem']}")
        return
    text = f"node {node[:8]}: {one['segments']:,} segments in {one['lake']}, {one['waiting']} waiting"
    console.print(f"{text}; [bold]the lake takes nothing[/]: {one['problem']}" if one["problem"] else text)
    for damaged in one["damaged"]:
        console.print(f"  set aside: {damaged}")
