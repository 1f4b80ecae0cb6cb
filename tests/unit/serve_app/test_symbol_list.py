"""When the list of symbols is looked at again, and who is found in it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from features.errors import UnknownSymbol
from serve_app.errors import SupervisorUnreachable
from serve_app.symbol_list import SymbolList, nearest
from tests.unit.serve_app.fake_directory import FakeDirectory


class Watch:
    """A clock that is set by hand."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def listing(*symbols: str) -> tuple[FakeDirectory, SymbolList, Watch]:
    directory, watch = FakeDirectory(*symbols), Watch()
    return directory, SymbolList(directory.symbols, watch), watch


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_symbol_is_found_in_any_case_where_that_is_unambiguous() -> None:
    _, symbols, _ = listing("BTCUSDT", "abc", "ABC", "Abd")
    assert await symbols.resolve("btcusdt") == "BTCUSDT"
    assert symbols.find("BtcUsdt") == "BTCUSDT"
    assert symbols.find("aBD") == "Abd"
    assert [symbols.find("abc"), symbols.find("ABC"), symbols.find("Abc")] == ["abc", "ABC", None]


async def test_letters_beyond_ascii_are_nobody_elses_upper_case() -> None:
    _, symbols, _ = listing("SS")
    assert await symbols.resolve("ss") == "SS"
    assert symbols.find("ß") is None


async def test_a_fresh_list_is_not_looked_at_again() -> None:
    directory, symbols, watch = listing("A")
    await symbols.entries()
    watch.now_s += 0.9
    for _ in range(100):
        symbols.find("A")
    await settle()
    assert directory.looks == 1


async def test_an_older_list_serves_on_while_one_look_is_under_way() -> None:
    directory, symbols, watch = listing("A")
    await symbols.entries()
    watch.now_s += 1.5
    directory.watch("B")
    assert [symbols.find("A") for _ in range(100)] == ["A"] * 100
    assert symbols.find("B") is None
    await settle()
    assert directory.looks == 2
    assert symbols.find("B") == "B"


async def test_a_symbol_not_in_the_list_is_looked_for_once_before_it_is_unknown() -> None:
    directory, symbols, _ = listing("A")
    await symbols.entries()
    directory.watch("B")
    assert await symbols.resolve("B") == "B"
    with pytest.raises(UnknownSymbol) as refused:
        await symbols.resolve("C")
    assert refused.value.known == ("A", "B")
    assert directory.looks == 3


async def test_known_symbols_are_served_while_the_supervisor_is_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    directory, symbols, watch = listing("A")
    await symbols.entries()
    directory.unreachable = SupervisorUnreachable(1.0, "restarting")
    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            watch.now_s += 60
            assert symbols.find("A") == "A"
            await settle()
    assert directory.looks == 11
    assert len(caplog.records) == 1, "said once, not once per look"


async def test_a_supervisor_that_is_away_is_asked_once_a_second_at_most() -> None:
    directory, symbols, watch = listing("A")
    await symbols.entries()
    directory.unreachable = SupervisorUnreachable(1.0)
    watch.now_s += 2
    for _ in range(50):
        symbols.find("A")
        await settle()
    assert directory.looks == 2


async def test_without_the_supervisor_nobody_says_that_a_symbol_is_unknown() -> None:
    directory, symbols, _ = listing("A")
    await symbols.entries()
    directory.unreachable = SupervisorUnreachable(1.0)
    with pytest.raises(SupervisorUnreachable):
        await symbols.resolve("B")


async def test_the_whole_list_is_never_older_than_its_limit() -> None:
    directory, symbols, watch = listing("A")
    await symbols.entries()
    directory.unreachable = SupervisorUnreachable(1.0)
    watch.now_s += 4
    assert list(await symbols.entries()) == ["A"]
    watch.now_s += 2
    with pytest.raises(SupervisorUnreachable):
        await symbols.entries()


def test_the_nearest_symbols_come_first_and_are_few() -> None:
    known = {f"COIN{i}USDT": {} for i in range(500)} | {"BTCUSDT": {}, "BTCUSD": {}}
    names = nearest("btcusdt", known)
    assert names[:2] == ("BTCUSDT", "BTCUSD")
    assert len(names) == 20
    assert nearest("", {}) == ()
