"""The command line of reports: what it writes, and what it says of things that can't be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from features.errors import ConfigError
from jobs import command_line
from jobs.report import parser, run
from jobs.reporting import images
from tests.unit.jobs.reporting.live_lakes import live_lake
from tests.unit.jobs.reporting.pages import check


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small lake."""
    folder = tmp_path_factory.mktemp("lake")
    live_lake(folder, 200)
    return folder


def report(lake: Path, *words: str) -> int:
    return command_line.main(parser(), run, ["--lake", str(lake), *words])


def test_it_writes_the_file_and_says_what_is_in_it(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "report.html"
    assert report(lake, "--symbol", "AAA", "--out", str(out), "--json") == 0
    said = json.loads(capsys.readouterr().out)
    page = check(out.read_text())
    assert said["bytes"] == out.stat().st_size
    assert set(said["sections"]) <= set(page.ids)
    assert said["images"] == []


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--symbol", "ZZZ"], "ZZZ is not in this lake"),
        (["--venue", "nowhere"], "no symbol is in this lake"),
        (["--from", "yesterday"], "is no time"),
        (["--from", "2024-01-02", "--to", "2024-01-01"], "ends before it begins"),
        (["--backtest", "abc"], "no finished backtest"),
        (["--backtest", "last"], "no finished backtest"),
        (["--backtest", "abc", "--symbol", "AAA"], "a run is shown whole"),
        (["--sweep", "abc"], "no finished sweep"),
        (["--sweep", "abc", "--to", "2024-01-01"], "a run is shown whole"),
    ],
)
def test_what_can_not_be_is_one_line(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    assert report(lake, *words, "--out", str(tmp_path / "x.html")) == 2
    error = capsys.readouterr().err
    assert complaint in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_without_a_browser_there_are_no_images_and_it_says_what_to_install(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert report(lake, "--out", str(tmp_path / "x.html"), "--png", str(tmp_path / "png")) == 2
    assert "install Debian's chromium" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_browser_that_draws_nothing_is_named(tmp_path: Path) -> None:
    page = tmp_path / "x.html"
    page.write_text('<figure id="one" data-chart=""></figure>')
    with pytest.raises(ConfigError, match=r"drew no x-one\.png"):
        images.write_images(page, tmp_path / "png", "/bin/false")
