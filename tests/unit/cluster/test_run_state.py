"""The state file finds what we started, and never takes another process for ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cluster import run_state
from cluster.run_state import Process, RunState
from features.errors import ConfigError


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    state = RunState(
        run_dir=tmp_path / "run",
        ray_address="127.0.0.1:6379",
        api_url="http://127.0.0.1:8000",
        environment={"A": "1"},
        processes=[Process("ray", 17, 1.25), Process("exchange", 18, 2.5)],
    )
    state.save()
    assert run_state.read(tmp_path / "run") == state
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]


def test_saving_again_replaces_the_file_whole(tmp_path: Path) -> None:
    state = RunState(run_dir=tmp_path, config="x" * 10_000)
    state.save()
    state.config = "y"
    state.save()
    assert run_state.read(tmp_path) == state


def test_without_a_file_nothing_runs(tmp_path: Path) -> None:
    assert run_state.read(tmp_path) is None
    assert run_state.read(tmp_path / "nowhere") is None


def test_forgetting_removes_the_file_and_may_be_done_twice(tmp_path: Path) -> None:
    state = RunState(run_dir=tmp_path)
    state.save()
    state.forget()
    state.forget()
    assert run_state.read(tmp_path) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"processes": [{"pid": 1}]}',
        '{"processes": [], "unknown": 1}',
        '{"processes": 5}',
    ],
)
def test_a_damaged_file_is_refused_with_what_to_do(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ConfigError) as error:
        run_state.read(tmp_path)
    assert str(tmp_path / "run.json") in str(error.value)
    assert "end leftover processes, then remove it" in str(error.value)


def test_a_running_process_is_found_by_pid_and_start_time() -> None:
    process = Process.of("test", os.getpid())
    found = process.find()
    assert found is not None
    assert found.pid == os.getpid()


def test_a_pid_that_now_belongs_to_another_process_is_not_ours() -> None:
    process = Process.of("test", os.getpid())
    assert replace(process, started=process.started - 60.0).find() is None


def test_a_process_that_has_ended_is_not_alive(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        state = RunState(
            run_dir=tmp_path, processes=[Process.of("child", child.pid), Process.of("test", os.getpid())]
        )
        assert [process.role for process in state.alive()] == ["child", "test"]
    finally:
        child.communicate(b"\n", timeout=20)
    assert [process.role for process in state.alive()] == ["test"]


def test_a_child_that_has_ended_but_was_not_waited_for_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    process = Process.of("child", child.pid)
    assert child.stdin is not None
    child.stdin.close()
    # Wait until it has ended, without collecting it: it stays a zombie.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    try:
        assert process.find() is None
    finally:
        child.wait(timeout=20)


def test_the_file_is_plain_json_for_people(tmp_path: Path) -> None:
    RunState(run_dir=tmp_path, processes=[Process("ray", 1, 2.0)]).save()
    values = json.loads((tmp_path / "run.json").read_text())
    assert values["processes"] == [{"role": "ray", "pid": 1, "started": 2.0}]
    assert "run_dir" not in values
