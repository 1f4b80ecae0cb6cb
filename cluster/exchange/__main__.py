"""`python -m cluster.exchange`: run the local exchange until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path

import uvloop

from cluster.exchange.market import MarketSpec
from cluster.exchange.pacing import parse_speed
from cluster.exchange.server import ALL_SYMBOLS, ExchangeSettings, LocalExchange
from cluster.exchange.source import SourceSpec
from cluster.exchange.tape import TapeSpec
from features.errors import ConfigError, TickcastError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m cluster.exchange",
        description="A local exchange that speaks Binance's spot websocket and REST protocol on loopback.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--replay", nargs="+", metavar="FILE", help="play recorded trades or quotes (Parquet)")
    what.add_argument(
        "--generate", nargs="+", metavar="SYMBOL", help="generate a market of these symbols (or S1,S2,...)"
    )
    tape = parser.add_argument_group("replay")
    tape.add_argument(
        "--symbols", nargs="+", default=[], metavar="SYMBOL", help="play only these (or S1,S2,...)"
    )
    tape.add_argument("--session", default="", metavar="HH:MM-HH:MM", help="daily window in UTC")
    tape.add_argument("--keep-suspicious", action="store_true", help="play prints marked suspicious too")
    tape.add_argument(
        "--keep-source-ids", action="store_true", help="keep trade ids where the file's are consecutive"
    )
    market = parser.add_argument_group("generated market")
    market.add_argument("--seed", type=int, default=0, help="same seed and start, same market")
    market.add_argument("--rate", type=float, default=8.0, help="trades per second and symbol")
    market.add_argument(
        "--history", type=float, default=0.0, metavar="SECONDS", help="so much of it has happened already"
    )
    market.add_argument("--start-ns", type=int, help="first event time (default: now)")
    market.add_argument(
        "--regime-change-at", type=float, metavar="SECONDS", help="order flow pushes the other way from here"
    )
    common = parser.add_argument_group("both")
    common.add_argument("--speed", default="1", help="1, 120, ... or max: as fast as clients take it")
    common.add_argument("--skip-idle", type=float, metavar="SECONDS", help="no pause takes longer than this")
    common.add_argument(
        "--wait-for", default="1", metavar="N", help="start once N streams are subscribed, or 'all' symbols"
    )
    common.add_argument(
        "--opened-at",
        type=int,
        metavar="NS",
        help="when it began, by the wall clock: what was due since then has been published already",
    )
    common.add_argument("--port", type=int, default=0, help="websocket port (0: a free one)")
    common.add_argument("--rest-port", type=int, default=0, help="REST port (0: a free one)")
    common.add_argument("--faults", default="", metavar="PLAN", help='for example "drop_connection@10s"')
    common.add_argument("--weight-per-minute", type=int, default=6_000, metavar="N", help="REST weight limit")
    common.add_argument("--ready-file", metavar="FILE", help="write the addresses here once it listens")
    return parser


def settings(arguments: argparse.Namespace) -> ExchangeSettings:
    """Settings from the command line. Raises ConfigError."""
    return ExchangeSettings(
        source=_source(arguments),
        speed=parse_speed(arguments.speed),
        skip_idle_s=arguments.skip_idle,
        wait_for=_wait_for(arguments.wait_for),
        port=arguments.port,
        rest_port=arguments.rest_port,
        faults=arguments.faults,
        weight_per_minute=arguments.weight_per_minute,
        opened_at_ns=arguments.opened_at,
    )


def _source(arguments: argparse.Namespace) -> SourceSpec:
    if arguments.replay:
        return TapeSpec(
            paths=tuple(arguments.replay),
            symbols=_names(arguments.symbols),
            session=arguments.session,
            keep_suspicious=arguments.keep_suspicious,
            keep_source_ids=arguments.keep_source_ids,
        )
    return MarketSpec(
        symbols=_names(arguments.generate),
        seed=arguments.seed,
        trades_per_s=arguments.rate,
        regime_change_at_s=arguments.regime_change_at,
        start_ns=arguments.start_ns,
        history_s=arguments.history,
    )


def _names(values: list[str]) -> tuple[str, ...]:
    return tuple(name for value in values for name in value.split(",") if name)


def _wait_for(text: str) -> int:
    if text == "all":
        return ALL_SYMBOLS
    if not text.isdigit():
        raise ConfigError(f"wait-for {text!r} can't be used", fix="give a number of streams, or 'all'")
    return int(text)


def write_ready_file(path: Path, exchange: LocalExchange) -> None:
    """Write the addresses as JSON, in one step: whoever sees the file sees all of it."""
    ready = {"websocket_url": exchange.websocket_url, "rest_url": exchange.rest_url, "pid": os.getpid()}
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            json.dump(ready, file)
        os.replace(file.name, path)
    except OSError as error:
        raise ConfigError(
            f"ready file can't be written ({error.strerror})", where=str(path), fix="give a writable path"
        ) from None


async def run(settings: ExchangeSettings, ready_file: Path | None) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with LocalExchange(settings) as exchange:
        if ready_file:
            write_ready_file(ready_file, exchange)
        symbols = ", ".join(instrument.symbol for instrument in exchange.source.instruments)
        print(f"listening on {exchange.websocket_url} and {exchange.rest_url} for {symbols}", flush=True)
        stopped = asyncio.create_task(stop.wait())
        finished = asyncio.create_task(exchange.finished())
        await asyncio.wait([stopped, finished], return_when=asyncio.FIRST_COMPLETED)
        if finished.done():
            finished.result()
            print(f"tape finished: {exchange.publisher.published_trades} trades published", flush=True)
        await stopped
        finished.cancel()


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 after a signal, 2 with one line on stderr when it can't run as asked."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    arguments = parser().parse_args(argv)
    try:
        ready_file = Path(arguments.ready_file) if arguments.ready_file else None
        uvloop.run(run(settings(arguments), ready_file))
    except TickcastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
