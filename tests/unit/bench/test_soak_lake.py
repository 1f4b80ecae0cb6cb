"""The market that a soak compares the lake with is the one that its exchange has published."""

from __future__ import annotations

import numpy as np

from cluster.exchange.market import MarketSpec
from features.ticks import Kind
from tests.bench.soak_lake import difference, published

START_NS = 1_700_000_000_000_000_000
MARKET = MarketSpec(("AAA", "BBB", "CCC"), 1, 20.0, start_ns=START_NS)


def alone(symbol: str) -> MarketSpec:
    return MarketSpec((symbol,), 1, 20.0, start_ns=START_NS)


def test_a_symbol_alone_trades_as_it_does_among_others() -> None:
    source = MARKET.open(0)
    blocks = [source.next_events() for _ in range(3)]
    ticks = [block.ticks[block.symbol == 1] for block in blocks]
    trades = [part[part.kind == Kind.TRADE] for part in ticks]
    expected = {
        name: np.concatenate([part.records[name] for part in trades])
        for name in ("trade_id", "price", "size", "side")
    }
    made = published(alone("BBB"), 1, len(expected["price"]))
    assert difference(made, expected) == ""


def test_trades_are_taken_from_the_id_on_that_was_first_seen() -> None:
    whole, part = published(alone("AAA"), 1, 500), published(alone("AAA"), 101, 400)
    assert part["trade_id"][0] == 101
    assert difference({name: column[100:] for name, column in whole.items()}, part) == ""


def test_one_other_digit_is_found_and_named() -> None:
    made, stored = published(alone("AAA"), 1, 300), published(alone("AAA"), 1, 300)
    stored["price"][200] = np.nextafter(stored["price"][200], np.inf)
    said = difference(stored, made)
    assert said.startswith("1 trades differ")
    assert "201" in said


def test_a_trade_that_is_missing_or_doubled_is_found() -> None:
    made = published(alone("AAA"), 1, 300)
    missing = {name: np.delete(column, 100) for name, column in made.items()}
    doubled = {name: np.insert(column[:-1], 100, column[100]) for name, column in made.items()}
    assert "299" in difference(missing, made)
    assert difference({name: column[:299] for name, column in doubled.items()}, missing) != ""
    assert difference(doubled, made) != ""
