"""A generated market as a file: what is written is what the exchange plays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from cluster.exchange.market import MarketSpec
from cluster.exchange.market_tape import TAPE_START_NS, main, write_market_tape
from cluster.exchange.tape import TapeSpec
from features.errors import ConfigError, DataError
from features.ticks import Kind

MARKET = MarketSpec(("AAA", "B-1"), seed=7, trades_per_s=30.0, start_ns=1_700_000_000_000_000_000)


def test_a_replay_gives_the_trades_of_the_market_with_ids_from_one(tmp_path: Path):
    path = tmp_path / "market.parquet"
    count = write_market_tape(MARKET, 25.0, path)
    market = MARKET.open(0)
    played = TapeSpec((str(path),)).open(0)
    names = [instrument.symbol for instrument in played.instruments]
    blocks = [market.next_events() for _ in range(3)]
    for number, symbol in enumerate(MARKET.symbols):
        live = [block.ticks[(block.symbol == number) & (block.ticks.kind == Kind.TRADE)] for block in blocks]
        records = np.concatenate([ticks.records for ticks in live])
        records = records[records["ts_ns"] < market.start_ns + 25 * 10**9]
        ticks = played.events.ticks[played.events.symbol == names.index(symbol)]
        assert ticks.trade_id.tolist() == list(range(1, len(records) + 1))
        for column in ("ts_ns", "trade_id", "price", "size", "side"):
            assert np.array_equal(ticks.records[column], records[column]), column
    assert len(played.events) == count > 1_000
    assert played.left_out == {}


def test_the_same_market_is_the_same_file_and_begins_at_a_fixed_time(tmp_path: Path):
    spec = MarketSpec(("A",), seed=1)
    for name in ("one", "two"):
        write_market_tape(spec, 12.0, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    first_ns = pq.read_table(tmp_path / "one")["ts_ns"][0].as_py()
    assert TAPE_START_NS <= first_ns < TAPE_START_NS + 12 * 10**9


def test_the_command_line_writes_the_same_as_the_function(tmp_path: Path, capsys):
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    words = ["--generate", "AAA,B-1", "--seed", "7", "--rate", "30", "--seconds", "5"]
    assert main([*words, "--start-ns", str(MARKET.start_ns), str(one)]) == 0
    count = write_market_tape(MARKET, 5.0, two)
    assert one.read_bytes() == two.read_bytes()
    assert capsys.readouterr().out.startswith(f"{count} trades of 2 symbols written to ")


def test_what_cannot_be_written_is_named_and_nothing_is_left(tmp_path: Path, capsys):
    with pytest.raises(DataError, match="no trade within"):
        write_market_tape(MARKET, 1e-9, tmp_path / "empty.parquet")
    with pytest.raises(ConfigError, match=r"gone/x\.parquet: tape can't be written"):
        write_market_tape(MARKET, 1.0, tmp_path / "gone" / "x.parquet")
    with pytest.raises(ConfigError, match="seconds 0"):
        write_market_tape(MARKET, 0, tmp_path / "x.parquet")
    assert list(tmp_path.iterdir()) == []
    assert main(["--generate", "A", "--seconds", "-1", str(tmp_path / "x.parquet")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
