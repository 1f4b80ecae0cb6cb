"""What the supervisor remembers over its own end."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster import desired_state
from cluster.desired_state import DesiredState, Known


def test_what_was_saved_is_there_again(tmp_path: Path) -> None:
    state = DesiredState(["BTCUSDT"])
    state.of("BTCUSDT").epoch = 7
    state.of("BTCUSDT").home = "host:/data/log/binance/BTCUSDT"
    desired_state.save(tmp_path / "new" / "state.json", state)
    assert desired_state.load(tmp_path / "new" / "state.json") == state
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["state.json"]


def test_without_a_file_nothing_is_known(tmp_path: Path) -> None:
    state = desired_state.load(tmp_path / "state.json")
    assert state == DesiredState()
    assert state.of("X") == Known(0, "")


@pytest.mark.parametrize("text", ["", "[1", '{"symbols": 5}'])
def test_a_damaged_file_is_said_and_not_believed(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state.json").write_text(text)
    assert desired_state.load(tmp_path / "state.json") == DesiredState()
    assert "state.json" in caplog.text


def test_a_folder_that_can_not_be_written_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    desired_state.save(tmp_path / "file" / "state.json", DesiredState())
    assert "can't be written" in caplog.text
