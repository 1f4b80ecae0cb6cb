"""`jobs.promote` as a command, over a lake that an actor has left."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.registry import Registry, RegistryShelf
from cluster.storage.archiver import Archiver
from cluster.storage.lake import Lake
from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec
from features.ticks import Ticks
from jobs import command_line, promote
from tests.unit.cluster import stream_logs
from tests.unit.cluster.stream_logs import Writer, stream, with_swaps
from tests.unit.features.slot_models import leaning

SPEC = replace(stream_logs.SPEC, horizons=("1s",), challengers=2)
GOOD, BAD, OTHER, UNFIT = 1, 2, 3, 4
"""Versions in the registry: two that know something, one that knows nothing, one of other features."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake whose actor has had two challengers for a while."""
    root = tmp_path_factory.mktemp("desk")
    store = open_store(StoreSpec(uri=str(root / "lake")))
    store.prepare()
    registry = Registry(store)
    for slope in (0.25, -0.25, 0.05):
        registry.publish(leaning(SPEC, slope, feature="last_side"), {"slope": slope})
    registry.publish(leaning(replace(SPEC, features=("rsi:5", "zscore:4")), 0.1), {})
    ticks = with_swaps(stream(2_500), (20, 1, GOOD), (21, 2, BAD))
    shelf = RegistryShelf(lambda: registry)
    for symbol in ("AAA", "BBB"):
        spec = replace(SPEC, symbol=symbol)
        folder = root / "log" / "binance" / symbol
        writer = Writer(folder, spec=spec, shelf=shelf).take(ticks[:50]).checkpoint().roll()
        if symbol == "AAA":
            writer.take(ticks[50:], 500).checkpoint()
        writer.log.close()
    Archiver(root / "log", Lake(store), lambda: 0).run_once()
    return root / "lake"


@pytest.fixture
def lake(made: Path) -> Lake:
    """The same without what earlier tests have pointed at."""
    store = open_store(StoreSpec(uri=str(made)))
    store.delete([one.key for one in store.list("models/pointers/")])
    return Lake(store)


class Said:
    """What the command said last."""

    code: int
    out: str
    error: str
    result: dict[str, Any]

    @property
    def one(self) -> dict[str, Any]:
        (found,) = self.result["symbols"]
        return dict(found)


@pytest.fixture
def command(lake: Lake, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: str) -> Said:
        said = Said()
        said.code = command_line.main(
            promote.parser(), promote.run, ["--lake", lake.store.uri, "--json", *words]
        )
        said.out, said.error = capsys.readouterr()
        said.result = json.loads(said.out.splitlines()[-1]) if said.code < 2 else {}
        return said

    return run


def slots(lake: Lake, symbol: str = "AAA") -> dict[int, int]:
    return dict(Registry(lake.store).pointer("binance", symbol).slots)


def test_shadow_puts_a_model_into_a_challengers_slot(lake: Lake, command: Any) -> None:
    said = command("--all", "--version", "1", "--shadow")
    assert (said.code, said.result["changed"]) == (0, 2)
    assert slots(lake, "AAA") == slots(lake, "BBB") == {1: GOOD}
    assert command("--symbol", "AAA", "--version", "3", "--shadow", "--slot", "2").one["slots"] == {
        "challenger1": 1,
        "challenger2": 3,
    }
    assert (
        command("--symbol", "AAA", "--version", "3", "--shadow", "--slot", "2").one["action"] == "unchanged"
    )


def test_a_challenger_that_has_shown_itself_on_the_live_ledger_is_promoted(lake: Lake, command: Any) -> None:
    command("--symbol", "AAA", "--version", "1", "--shadow")
    said = command("--symbol", "AAA", "--min-answers", "300")
    assert said.code == 0
    assert (said.one["action"], said.one["version"], said.one["slots"]) == ("promoted", 1, {"champion": 1})
    (horizon,) = said.one["gate"]["horizons"]
    assert horizon["answers"] > 300
    assert horizon["saved"] > 0.03
    assert horizon["p_better"] < 0.05
    assert slots(lake) == {0: GOOD}  # and it left the challenger's slot
    assert Registry(lake.store).pointer("binance", "AAA").why == "it is better than the champion at 1s"


def test_one_that_is_no_good_is_refused_with_the_numbers(lake: Lake, command: Any) -> None:
    command("--symbol", "AAA", "--version", "2", "--shadow")
    said = command("--symbol", "AAA", "--version", "2", "--min-answers", "300")
    assert said.code == 1
    assert (said.one["action"], said.one["reason"]) == ("refused", "it is worse than the champion at 1s")
    assert said.one["gate"]["horizons"][0]["saved"] < 0.0
    assert "of the square error saved" in said.out
    assert slots(lake) == {1: BAD}


def test_one_symbols_refusal_does_not_keep_the_others(lake: Lake, command: Any) -> None:
    command("--all", "--version", "1", "--shadow")
    said = command("--all", "--min-answers", "300")
    assert said.code == 1
    assert [one["action"] for one in said.result["symbols"]] == ["promoted", "refused"]
    assert "too few answers yet" in said.result["symbols"][1]["reason"]


def test_what_the_ledger_cannot_tell_is_refused(lake: Lake, command: Any) -> None:
    said = command("--symbol", "AAA", "--version", "3")
    assert said.code == 1
    assert "version 3 is in no challenger's slot" in said.one["reason"]
    command("--symbol", "AAA", "--version", "3", "--force")
    said = command("--symbol", "AAA", "--version", "1")
    # The pointer has another champion than the ledger knows of.
    assert "when version 0 was the champion, not 3" in said.one["reason"]


def test_force_skips_the_gate_and_rollback_goes_back(lake: Lake, command: Any) -> None:
    for version in ("2", "3"):
        assert command("--symbol", "AAA", "--version", version, "--force").code == 0
    assert slots(lake) == {0: OTHER}
    said = command("--symbol", "AAA", "--rollback")
    assert (said.one["action"], said.one["version"]) == ("rolled back", BAD)
    assert command("--symbol", "AAA", "--rollback").one["slots"] == {}
    said = command("--symbol", "AAA", "--rollback")
    assert said.code == 1
    assert "no champion to go back to" in said.one["reason"]
    command("--symbol", "AAA", "--latest", "--force")
    said = command("--symbol", "AAA", "--version", "3", "--force")
    assert command("--symbol", "AAA", "--clear").one["slots"] == {}


def test_a_model_that_does_not_fit_is_refused_before_anything_is_said(lake: Lake, command: Any) -> None:
    for mode in ("--force", "--shadow"):
        said = command("--symbol", "AAA", "--version", "4", mode)
        assert said.code == 1
        assert (said.one["action"], "other features" in said.one["reason"]) == ("failed", True)
    said = command("--symbol", "AAA", "--version", "9", "--force")
    assert "no model of version 9" in said.one["reason"]
    assert slots(lake) == {}


def test_a_damaged_model_is_refused_before_anything_is_said(lake: Lake, command: Any) -> None:
    version = Registry(lake.store).publish(leaning(SPEC, 0.1), {})
    lake.store.put(f"models/{version:06}/package.bin", b"damaged")
    said = command("--symbol", "AAA", "--latest", "--force")
    assert (said.code, "damaged" in said.one["reason"], slots(lake)) == (1, True, {})
    lake.store.delete([f"models/{version:06}/{name}" for name in ("manifest.json", "package.bin")])


def test_a_period_of_the_lake_is_scored_anew(lake: Lake, command: Any) -> None:
    ticks: Ticks = Ticks.concat([part for _, part in lake.ticks("binance", "AAA")])
    period = ["--gate", "period", "--from", "2023-11-14T22:00", "--to", "2023-11-15T02:00"]
    assert int(ticks.ts_ns[0]) // 10**9 > 1_699_999_200  # all of it lies within
    small = ["--min-answers", "300"]
    said = command("--symbol", "AAA", "--version", "1", *period, *small)
    assert (said.code, said.one["action"]) == (0, "promoted")
    anew = said.one["gate"]["horizons"][0]
    assert said.one["gate"]["evidence"] == "2,502 stream of the period, scored anew"
    lake.store.delete([one.key for one in lake.store.list("models/pointers/")])
    live = command("--symbol", "AAA", "--version", "1", *small).one["gate"]["horizons"][0]
    assert anew["answers"] == pytest.approx(live["answers"], abs=10)
    assert anew["saved"] == pytest.approx(live["saved"], abs=0.01)
    # Now there is a champion to be beaten, and what is no better does not beat it.
    said = command("--symbol", "AAA", "--version", "3", *period, *small)
    assert said.code == 1
    assert said.one["gate"]["champion"] == GOOD
    said = command("--symbol", "AAA", "--version", "2", *period, *small, "--source", "trades")
    assert said.one["reason"] == "it is worse than the champion at 1s"


def test_waiting_ends_when_the_lake_shows_it(lake: Lake, command: Any) -> None:
    said = command("--symbol", "AAA", "--version", "1", "--shadow", "--wait", "0")
    assert (said.code, said.result["waiting"]) == (1, 1)  # the other challenger is still there
    said = command("--symbol", "AAA", "--version", "2", "--shadow", "--slot", "2", "--wait", "0")
    assert (said.code, said.result["waiting"], said.one["waiting"]) == (0, 0, False)


def test_status_shows_pointers_slots_and_duels(lake: Lake, command: Any) -> None:
    command("--symbol", "AAA", "--version", "1", "--shadow")
    said = command("--symbol", "AAA", "--status")
    assert said.code == 0
    assert said.one["live"] == {"champion": 0, "challenger1": GOOD, "challenger2": BAD}
    assert [duel["version"] for duel in said.one["duels"]] == [GOOD, BAD]
    assert said.one["pointers"][0]["slots"] == {"challenger1": GOOD}
    assert "to hold: challenger1 1" in said.out
    assert len(command("--status").result["symbols"]) == 2


def test_models_that_were_never_used_can_be_removed(lake: Lake, command: Any) -> None:
    registry = Registry(lake.store)
    command("--symbol", "AAA", "--version", "2", "--force")
    assert command("--prune", "100").result == {"pruned": []}
    assert registry.versions() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--version", "1", "--shadow"], "no symbol is named; give --symbol S, or --all"),
        (["--symbol", "ZZZ", "--status"], "--symbol: ZZZ is not there; there are: AAA, BBB"),
        (["--symbol", "AAA", "--shadow"], "no model is named; give --version N, or --latest"),
        (
            ["--symbol", "AAA", "--version", "1", "--shadow", "--slot", "3"],
            "slot 3 is no challenger's; AAA has 2",
        ),
        (["--symbol", "AAA", "--version", "1", "--gate", "period"], "the period is not stated"),
        (["--symbol", "AAA", "--version", "1", "--level", "2"], "--level: 2.0 is no level"),
    ],
)
def test_a_command_that_is_wrong_says_so(command: Any, words: list[str], says: str) -> None:
    said = command(*words)
    assert said.code == 2
    assert says in said.error
