"""Every recorded Binance frame is read, and the trades equal an independent reading of them."""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import venues
from cluster.venues.base import Ignored, Quote, Trade

WEBSOCKET_FILES = (
    "binance/samples_msgparser_2021_2022.jsonl",
    "binance/samples_tardis_2019.jsonl",
    "binance/spot_3sym_aggtrade_20210404.jsonl.gz",
    "binance/spot_btcusdt_20240808.jsonl.gz",
    "binance/spot_btcusdt_20240809.jsonl.gz",
    "binance/spot_ethusdt_20240808.jsonl.gz",
    "binance/spot_mixed_20210417.jsonl.gz",
    "binance/spot_mixed_20211012.jsonl",
    "binance_us/spot_20210417.jsonl.gz",
    "binance_us/spot_20211012.jsonl.gz",
)


def lines_of(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    yield from (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines()


def test_no_recording_is_left_out(shared: Path) -> None:
    present = {
        f"{folder}/{path.name}"
        for folder in ("binance", "binance_us")
        for path in (shared / "recordings" / folder).glob("*.jsonl*")
        if not path.name.startswith("rest_") and ".rest_" not in path.name and ".sent." not in path.name
    }
    assert present == set(WEBSOCKET_FILES)


@pytest.mark.parametrize("name", WEBSOCKET_FILES)
def test_every_line_is_read_or_named_and_trades_are_those_in_the_json(shared: Path, name: str) -> None:
    single, aggregate = venues.get("binance"), venues.get("binance", trade_stream="aggTrade")
    trades, quotes = [], 0
    expected, kinds = [], Counter[str]()
    for line in lines_of(shared / "recordings" / name):
        payload = json.loads(line)["data"]
        kind = payload.get("e") if isinstance(payload, dict) else None
        kinds[str(kind)] += 1
        if kind in ("trade", "aggTrade"):
            expected.append(
                (
                    payload["s"],
                    payload["t" if kind == "trade" else "a"],
                    float(payload["p"]),
                    float(payload["q"]),
                    payload["T"] * 1_000_000,
                    -1 if payload["m"] else 1,
                )
            )
        events = (*single.parse(line, 1), *aggregate.parse(line, 1))
        read = [event for event in events if isinstance(event, Trade)]
        assert all(isinstance(event, Trade | Quote | Ignored) for event in events), line[:200]
        assert len(read) == (kind in ("trade", "aggTrade"))
        quotes += isinstance(events[0], Quote)
        trades += [(t.symbol, t.trade_id, t.price, t.size, t.ts_ns, t.side) for t in read]
    assert trades == expected
    others = Counter(json.loads(line)["stream"] for line in lines_of(shared / "recordings" / name))
    assert quotes == sum(
        n for stream, n in others.items() if stream.endswith("@bookTicker") and stream[0] != "!"
    )


@pytest.mark.parametrize("name", [name for name in WEBSOCKET_FILES if "samples" not in name])
def test_recorded_trade_ids_are_consecutive_per_symbol(shared: Path, name: str) -> None:
    binance = venues.get("binance", trade_stream="trade" if "2024" in name else "aggTrade")
    ids: dict[str, list[int]] = defaultdict(list)
    for line in lines_of(shared / "recordings" / name):
        for event in binance.parse(line, 1):
            if isinstance(event, Trade):
                ids[event.symbol].append(event.trade_id)
    assert ids
    for symbol, numbers in ids.items():
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), symbol


def test_trade_ids_go_on_across_midnight(shared: Path) -> None:
    binance = venues.get("binance")
    ids = [
        event.trade_id
        for day in ("20240808", "20240809")
        for line in lines_of(shared / "recordings" / f"binance/spot_btcusdt_{day}.jsonl.gz")
        for event in binance.parse(line, 1)
        if isinstance(event, Trade)
    ]
    assert len(ids) == 9757 + 10147
    assert ids == list(range(ids[0], ids[0] + len(ids)))


@pytest.mark.parametrize(
    ("name", "stream"), [("rest_trades_ethbtc_2023", "trade"), ("rest_aggtrades_paging_2020", "aggTrade")]
)
def test_every_recorded_rest_page_is_read(shared: Path, name: str, stream: str) -> None:
    binance = venues.get("binance", trade_stream=stream)
    number = "id" if stream == "trade" else "a"
    rows = 0
    for line in lines_of(shared / "recordings" / f"binance/{name}.jsonl.gz"):
        body = json.loads(line)["body"]
        page = binance.parse_backfill(json.dumps(body).encode(), "ETHBTC", 1)
        assert [trade.trade_id for trade in page] == [row[number] for row in body]
        rows += len(page)
    assert rows >= 1000
