"""`python -m cluster.exchange.market_tape`: a generated market, written to a file that `--replay` plays.

A drill needs a tape: whatever is killed on the way, what should have been published stands in the
file. The same settings always give the same file, because it begins at a fixed time unless told
otherwise.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cluster.exchange.market import MarketSpec
from cluster.exchange.source import Events
from features.errors import ConfigError, DataError, TickcastError
from features.ticks import Kind

TAPE_START_NS = 1_704_067_200_000_000_000
"""Where a file begins unless the market says: 2024-01-01 00:00 UTC."""
_ROWS_AT_ONCE = 100_000
_SCHEMA = pa.schema(
    [
        ("symbol", pa.string()),
        ("ts_ns", pa.int64()),
        ("price", pa.float64()),
        ("size", pa.float64()),
        ("side", pa.int8()),
        ("trade_id", pa.int64()),
    ]
)


def write_market_tape(spec: MarketSpec, seconds: float, path: Path) -> int:
    """Write the trades of the first `seconds` of a market, in order of time; gives their number.

    Columns: symbol, ts_ns, price, size, side, trade_id (1, 2, 3 ... per symbol); quotes are left out.
    The file appears whole or not at all, and memory is bounded however long the market. Raises
    ConfigError for a length or a path that can't be used, DataError when no trade falls into the time.
    """
    if not 0 < seconds < math.inf:
        raise ConfigError(f"seconds {seconds} can't be used", fix="give a number above zero")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            partial = Path(folder) / path.name
            with pq.ParquetWriter(partial, _SCHEMA) as writer:
                trades = _write(spec, seconds, writer)
            if not trades:
                raise DataError(
                    f"no trade within {seconds:g} s", where=str(path), fix="give more seconds or rate"
                )
            partial.replace(path)
    except OSError as error:
        raise ConfigError(
            f"tape can't be written ({error.strerror or error})", where=str(path), fix="give a writable path"
        ) from None
    return trades


def _write(spec: MarketSpec, seconds: float, writer: pq.ParquetWriter) -> int:
    if spec.start_ns is None:
        spec = replace(spec, start_ns=TAPE_START_NS)
    market = spec.open(0)
    end_ns = market.start_ns + int(seconds * 1e9)
    names = pa.array([instrument.symbol for instrument in market.instruments])
    written, blocks, ended = 0, [], False
    while not ended:
        events = market.next_events()
        ended = bool(events.ticks.ts_ns[-1] >= end_ns)
        trades = (events.ticks.kind == int(Kind.TRADE)) & (events.ticks.ts_ns < end_ns)
        blocks.append(events[trades])
        if ended or sum(map(len, blocks)) >= _ROWS_AT_ONCE:
            table = _table(Events.concat(blocks), names)
            writer.write_table(table)
            written += len(table)
            blocks.clear()
    return written


def _table(events: Events, names: pa.Array) -> pa.Table:
    ticks = events.ticks
    columns = [names.take(pa.array(events.symbol))]
    columns += [np.ascontiguousarray(ticks.records[name]) for name in _SCHEMA.names[1:]]
    return pa.table(columns, schema=_SCHEMA)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m cluster.exchange.market_tape",
        description="Write the trades of a generated market to a file that the local exchange plays.",
    )
    parser.add_argument("path", type=Path, metavar="OUT", help="the Parquet file to write")
    parser.add_argument("--generate", required=True, metavar="S1,S2,...", help="the symbols of the market")
    parser.add_argument("--seconds", type=float, required=True, help="how much of the market to write")
    parser.add_argument("--seed", type=int, default=0, help="same seed and start, same market")
    parser.add_argument("--rate", type=float, default=8.0, help="trades per second and symbol")
    parser.add_argument("--start-ns", type=int, default=TAPE_START_NS, help="first event time (2024-01-01)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 with one line on stdout, 2 with one line on stderr when it can't be done as asked."""
    arguments = parser().parse_args(argv)
    try:
        spec = MarketSpec(
            symbols=tuple(name for name in arguments.generate.split(",") if name),
            seed=arguments.seed,
            trades_per_s=arguments.rate,
            start_ns=arguments.start_ns,
        )
        trades = write_market_tape(spec, arguments.seconds, arguments.path)
    except TickcastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{trades} trades of {len(spec.symbols)} symbols written to {arguments.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
