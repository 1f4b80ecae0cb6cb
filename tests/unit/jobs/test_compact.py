"""`python -m jobs.compact`: which days it takes, what it says about them, and how it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.storage.lake import Lake
from cluster.storage.layout import date_of
from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec
from jobs import command_line
from jobs.compact import CompactSpec, Summary, compact, parser, run
from jobs.s3_server import S3Server
from tests.unit.cluster.storage.lake_rows import (
    DATE,
    DATE_BEFORE,
    DAY_NS,
    MIDNIGHT_NS,
    VENUE,
    features,
    trades,
)

HOUR_NS = 3_600 * 10**9


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Two symbols with two days each, two files a day, and features of one."""
    return filled(Lake(open_store(StoreSpec(uri=str(tmp_path / "lake")))))


def filled(lake: Lake) -> Lake:
    lake.store.prepare()
    for symbol in ("A/B", "C"):
        for day in (-1, 0):
            for part in (0, 1):
                number = 10 * (day + 1) + part
                at = [MIDNIGHT_NS + day * DAY_NS + part]
                lake.write("trades", VENUE, symbol, 1, trades([number], ts_ns=at))
    lake.write("features", VENUE, "C", 1, features([1, 2]))
    return lake


def files(lake: Lake, prefix: str = "") -> list[str]:
    """Table, symbol and date of every data file; a star marks those that a compaction wrote."""
    found = [info.key.split("/") for info in lake.store.list(prefix) if info.key.endswith(".parquet")]
    return sorted(
        f"{key[-5]} {key[-3][7:]} {key[-2][5:]}{'*' * key[-1].startswith('compact')}" for key in found
    )


def main(*words: str | Path) -> int:
    return command_line.main(parser(), run, [str(word) for word in words])


def test_days_are_compacted_once_they_have_settled(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    at = MIDNIGHT_NS + HOUR_NS
    assert compact(lake, CompactSpec(), at - 1).partitions == 0
    done = compact(lake, CompactSpec(), at)
    assert (done.partitions, done.compacted, done.files_before, done.files_after, done.rows) == (
        2,
        2,
        4,
        2,
        4,
    )
    assert [one for one in files(lake) if "*" in one] == [
        f"trades A%2FB {DATE_BEFORE}*",
        f"trades C {DATE_BEFORE}*",
    ]
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2
    assert f"trades {VENUE} A/B {DATE_BEFORE}: 2 files to 1, 2 rows, 0.00 MiB to 0.00 MiB" in said[0]
    again = compact(lake, CompactSpec(), at)
    assert (again.partitions, again.compacted, again.files_before, again.files_after) == (2, 0, 2, 2)
    assert compact(lake, CompactSpec(settle_ns=1), MIDNIGHT_NS + DAY_NS + 1).compacted == 3
    assert all("*" in one for one in files(lake))


def test_only_what_was_asked_for_is_compacted(lake: Lake) -> None:
    def compacted(**settings: Any) -> list[str]:
        compact(lake, CompactSpec(**settings), MIDNIGHT_NS + 9 * DAY_NS)
        return [one for one in files(lake) if "*" in one]

    assert compacted(symbols=("nobody",)) == []
    assert compacted(date="2020-01-01") == []
    assert compacted(symbols=("C",), tables=("features",)) == [f"features C {DATE}*"]
    assert compacted(symbols=("A/B",), date=DATE) == [f"features C {DATE}*", f"trades A%2FB {DATE}*"]
    assert compacted(date=DATE) == [f"features C {DATE}*", f"trades A%2FB {DATE}*", f"trades C {DATE}*"]


def test_today_is_compacted_when_asked_for(lake: Lake) -> None:
    assert compact(lake, CompactSpec(include_today=True), MIDNIGHT_NS).compacted == 5


def test_old_days_go_to_the_archive_and_stay_readable(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    before = lake.read("trades")
    now = MIDNIGHT_NS + 3 * DAY_NS
    done = compact(lake, CompactSpec(archive_after_days=3), now)
    assert (done.partitions, done.compacted, done.archived) == (5, 5, 2)
    assert files(lake, "archive/") == [f"trades A%2FB {DATE_BEFORE}*", f"trades C {DATE_BEFORE}*"]
    assert f"trades {VENUE} C {DATE_BEFORE}: moved to archive/" in capsys.readouterr().out
    assert lake.read("trades", archived=True) == before
    assert lake.read("trades").num_rows == 4
    assert compact(lake, CompactSpec(archive_after_days=3), now).archived == 0
    assert compact(lake, CompactSpec(archive_after_days=3), now + DAY_NS).archived == 3
    assert files(lake) == files(lake, "archive/")


def test_the_result_is_one_line_of_json_and_comes_last(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main("--lake", lake.store.uri, "--archive-after", "1", "--archive-prefix", "old/", "--json") == 0
    *progress, last = capsys.readouterr().out.splitlines()
    result = json.loads(last)
    assert list(result) == list(Summary.__slots__)
    assert (result["partitions"], result["archived"], result["rows"], result["damaged"]) == (5, 5, 10, [])
    assert result["bytes_before"] > result["bytes_after"] > 0
    assert len(progress) == 10
    assert len(files(lake, "old/")) == 5


def test_people_get_a_summary_instead(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("--lake", lake.store.uri, "--table", "features", "--symbol", "C") == 0
    assert (
        "1 partitions, 1 compacted, 0 archived, 1 files to 1, 0 objects had their time, in 0."
        in capsys.readouterr().out
    )


def test_a_damaged_file_is_said_the_others_go_on_and_the_exit_code_is_1(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    key = next(lake.store.list("trades/")).key
    lake.store.put(key, lake.store.get(key)[:-1])
    assert main("--lake", lake.store.uri, "--json") == 1
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["partitions"], result["compacted"]) == (5, 4)
    (said,) = result["damaged"]
    assert key in said


def test_the_configuration_names_the_lake_too(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"symbols: [BTCUSDT]\nstorage: {{lake: {{uri: {lake.store.uri}}}}}\n")
    assert main("--config", path) == 0
    assert all("*" in one for one in files(lake))


def test_a_bucket_is_reached_with_what_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with S3Server(tmp_path / "s3") as server:
        lake = filled(Lake(open_store(server.spec("desk"))))
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
        assert main("--lake", f"s3://{server.bucket}/desk", "--json") == 0
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["compacted"] == 5
        assert all("*" in one for one in files(lake))
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        assert main("--lake", f"s3://{server.bucket}/desk", "--json") == 2
        out, error = capsys.readouterr()
        assert (out, error.count("\n")) == ("", 1)
        assert error.startswith("error: ")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--lake", "ftp://x"], "--lake: uri: no store is known for ftp://; use a folder, file:// or s3://"),
        (["--lake", "nowhere/at/all"], "nowhere/at/all: "),
        (["--config", "nowhere.yaml"], "nowhere.yaml: can't be read: No such file or directory"),
        (["--lake", "x", "--settle", "soon"], "--settle: 'soon' is not a duration"),
        (["--lake", "x", "--date", "monday"], "'monday' is no date; write it like 2024-08-09"),
        (["--lake", "x", "--archive-after", "0"], "--archive-after: 0 is below 1; give whole days"),
        (
            ["--lake", "x", "--archive-prefix", "old"],
            "--archive-prefix: is no prefix: 'old'; write \"archive/\"",
        ),
    ],
)
def test_what_can_not_be_done_is_one_line_on_stderr(
    words: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(*words) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    assert says in error
    assert error.startswith("error: ")


def test_it_runs_as_a_module(lake: Lake) -> None:
    words = [
        sys.executable,
        "-m",
        "jobs.compact",
        "--lake",
        lake.store.uri,
        "--date",
        date_of(MIDNIGHT_NS),
        "--json",
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["compacted"] == 3
    words = [sys.executable, "-m", "jobs.compact", "--help"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "python -m jobs.compact" in shown
    assert "--archive-after DAYS" in shown
    missing = subprocess.run(words[:-1], capture_output=True, text=True)
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "one of the arguments --lake --config is required" in missing.stderr
