"""The live report scores what the lake holds exactly as the live ledger did, and counts its gaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cluster.storage.folder_store import FolderStore
from cluster.storage.lake import Lake
from features.engine import SymbolEngine
from features.forecaster import MIXTURE
from jobs.reporting.continuity import period_of, read_continuity
from jobs.reporting.live_ledger import newest_checkpoint, read_symbol
from jobs.reporting.live_report import live_report
from tests.unit.features.engine_runs import SECOND, START_NS
from tests.unit.jobs.reporting.live_lakes import VENUE, live_lake
from tests.unit.jobs.reporting.pages import check

TICKS = 1_500
Made = tuple[Lake, dict[str, SymbolEngine]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A lake of two symbols and the engines that have made it."""
    return live_lake(tmp_path_factory.mktemp("lake"), TICKS, ("AAA", "B/B"))


def live_scores(engine: SymbolEngine) -> list[dict[str, object]]:
    return [score.as_dict() for score in engine.ledger.scores() if score.model == MIXTURE]


def test_over_the_whole_life_the_scores_are_the_live_ledgers(made: Made) -> None:
    lake, engines = made
    for symbol, engine in engines.items():
        found = read_symbol(lake, VENUE, symbol, None, None)
        assert found is not None
        assert list(found.scores) == live_scores(engine)
        assert found.scores[0]["voided"] > 0


def test_a_cut_period_counts_its_own_answers(made: Made) -> None:
    lake, _ = made
    cut = START_NS + TICKS * SECOND // 3
    parts = [read_symbol(lake, VENUE, "AAA", *period) for period in ((None, cut), (cut, None), (None, None))]
    early, late, whole = (
        sum(score["count"] + score["voided"] for score in one.scores) for one in parts if one is not None
    )
    assert early + late == whole
    assert 0.2 < early / whole < 0.5


def test_what_was_said_of_a_rise_is_that_of_the_forecast(made: Made) -> None:
    lake, _ = made
    found = read_symbol(lake, VENUE, "AAA", None, None)
    assert found is not None
    rows = list(found.chunks["3s"]())
    said = lake.read("forecasts", VENUE, ["AAA"]).to_pandas()
    said = said[said["horizon"] == "3s"].set_index("made_at_ns")["p_up"]
    for one in rows:
        assert np.array_equal(one.p_up, said.loc[one.made_at_ns].to_numpy())


def test_the_newest_checkpoint_knows_every_learner(made: Made) -> None:
    lake, engines = made
    saved = newest_checkpoint(lake, VENUE, "AAA")
    assert saved is not None
    assert [(one["model"], one["horizon"]) for one in saved.scores] == [
        (one.model, one.horizon) for one in engines["AAA"].ledger.scores()
    ]


def test_continuity_is_what_the_notes_and_trades_say(made: Made) -> None:
    lake, _ = made
    start_ns, end_ns = period_of(lake, [(VENUE, "AAA")])
    found = read_continuity(lake, VENUE, "AAA", start_ns, end_ns)
    stored = lake.read("trades", VENUE, ["AAA"])
    at = stored["ts_ns"].to_numpy()
    assert found.trades == stored.num_rows == found.per_pane.sum()
    assert found.longest_silence_s == np.diff(at).max() / 1e9
    assert (found.first_ns, found.last_ns) == (at.min(), at.max())
    assert found.events == {"gap_found": 3, "gap_filled": 1, "gap_given_up": 1, "reordered": 1}
    assert (found.open_gaps, found.gap_marks, len(found.started_ns), found.fresh) == (1, 2, 1, 1)
    assert found.lateness_s == {"median": 0.0, "p99": 0.0, "max": 0.0}


def test_the_page_shows_it(made: Made) -> None:
    lake, engines = made
    page = check(live_report(lake, [(VENUE, "AAA"), (VENUE, "B/B")], None, None).html())
    score = live_scores(engines["AAA"])[0]
    row = page.table("Forecasts against naive")[0]
    assert row[:2] == ["AAA", "1s"]
    assert row[7] == f"{score['count']:,}"
    assert row[3] == f"{100 * score['lifetime']['r2']:.3f}".replace("-", "−")  # type: ignore[index]
    trades = page.table("Trades of the period")[1]
    assert trades[0] == "B/B"
    assert trades[5:11] == ["3", "1", "1", "1", "5", "7"]
    assert "<b>&" in page.text
    assert "up-chart" in page.charts and "trades-chart" in page.charts
    assert any(row[:2] == ["ridge:5,0.999", "1s"] for row in page.rows)


def test_a_period_without_anything_says_so(made: Made) -> None:
    lake, _ = made
    page = check(live_report(lake, [(VENUE, "AAA")], START_NS - 10 * SECOND, START_NS).html())
    assert "no forecast was answered in this period" in page.text
    assert "No trade lies in this period." in page.text


def test_a_lake_without_actors_has_a_report(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.prepare()
    page = check(live_report(Lake(store), [(VENUE, "AAA")], None, None).html())
    assert "no actor has ever run for it" in page.text
    assert check(live_report(Lake(store), [], None, None).html()).text
