"""The command as people use it: exit codes, the report, several processes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from cluster.storage.lake import Lake
from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec
from features.errors import ConfigError
from jobs import backfill, command_line
from jobs.backfilling.findings import Report
from jobs.backfilling.run import Backfilled
from tests.unit.jobs.backfilling.imports import text_file
from tests.unit.jobs.backfilling.test_formats import MS

HEADER = "time,price,size,trade_id"


def main(folder: Path, *words: str) -> int:
    place = ["--lake", str(folder / "lake"), "--venue", "binance", "--workers", "1"]
    return command_line.main(backfill.parser(), backfill.run, [*place, *words])


def test_the_result_counts_every_row_and_a_second_run_reads_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = text_file(tmp_path, "t.csv", HEADER, f"{MS},1,1,1", f"{MS},0,1,2", f"{MS},1,1,1")
    assert main(tmp_path, str(path), "--symbol", "A", "--json") == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    seconds = result.pop("seconds")
    assert seconds > 0
    symbol = result.pop("symbols")["A"]
    assert result == {"files": 1, "files_before": 0, "read": 3, "kept": 1, "already": 0, "refused": 2}
    assert {kind: one["count"] for kind, one in symbol["refused"].items()} == {
        "price not above zero": 1,
        "duplicate": 1,
    }
    assert main(tmp_path, str(path), "--symbol", "A") == 0
    assert f"{path}: imported before, not read again" in capsys.readouterr().out.replace("\n", "")


def test_exit_codes_say_that_nothing_was_kept_or_a_file_could_not_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(tmp_path, str(text_file(tmp_path, "t.csv", HEADER, f"{MS},0,1,1")), "--symbol", "A") == 1
    assert main(tmp_path, str(tmp_path / "none.csv")) == 2
    assert "none.csv: can't be read: No such file or directory" in capsys.readouterr().err
    assert main(tmp_path, str(tmp_path / "none.csv"), "--map", "price") == 2
    assert "--map: 'price' names no two columns; write it like price=last_px" in capsys.readouterr().err
    assert main(tmp_path, str(tmp_path / "none.csv"), "--workers", "0") == 2


def test_several_processes_write_the_bytes_that_one_writes(tmp_path: Path) -> None:
    lines = [f"{'AB'[i % 2]},{MS + i * 3_600_000},{10 + i % 3},1,{i}" for i in range(60)]
    paths = [text_file(tmp_path, f"{i}.csv", f"symbol,{HEADER}", *lines[i : i + 30]) for i in (0, 15, 30)]
    for folder, count in (("one", "1"), ("two", "2")):
        assert main(tmp_path / folder, *map(str, paths), "--workers", count) == 0
    one, two = (open_store(StoreSpec(uri=str(tmp_path / name / "lake"))) for name in ("one", "two"))
    assert {info.key: one.get(info.key) for info in one.list()} == {
        info.key: two.get(info.key) for info in two.list()
    }
    assert Lake(two).read("trades", "binance").num_rows == 60


def test_the_settings_of_the_command_line(tmp_path: Path) -> None:
    words = ["f", "--lake", "l", "--venue", "v", "--interval", "5m", "--map", "price=p", "--map", "trade_id="]
    spec = backfill.spec_of(backfill.parser().parse_args([*words, "--kind", "candles", "--replace"]))
    assert (spec.interval_ns, spec.replace, spec.kind) == (300 * 10**9, True, "candles")
    assert spec.columns == (("price", "p"), ("trade_id", ""))
    with pytest.raises(ConfigError, match="--interval"):
        backfill.spec_of(backfill.parser().parse_args([*words, "--interval", "5"]))


def test_the_table_shows_symbols_with_refusals_first_and_the_first_row_of_each_kind() -> None:
    report = Report()
    for number in range(70):
        report.of(f"S{number:02}").kept = number
    report.of("S69").refuse("crossed", 1_234, "q.csv row 5: bid 2, ask 1")
    done = Backfilled(report, ["q.csv"])
    console = Console(file=io.StringIO(), width=100)
    backfill.show(done, backfill.summary(done, 1.0), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.index("S69") < text.index("S00")
    assert "1,234 crossed" in text and "10 more" in text
    assert "crossed, first q.csv row 5: bid 2, ask 1" in text
