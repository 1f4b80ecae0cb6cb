"""A sweep on a Ray of its own, killed like a process that ran out of memory, and started again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from jobs import command_line, sweep
from tests.local_ray.conftest import ROOT, wait_for
from tests.unit.jobs.sweeping.lakes import SPACE, lake_of, walk
from tests.unit.jobs.test_sweep import rows_of, same

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]


@contextmanager
def started(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """The job in a process of its own; whatever it has started ends with the block."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs.sweep", *arguments(folder), "--max-concurrent", "2", *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    family = [psutil.Process(process.pid)]
    try:
        yield process
        family += family[0].children(recursive=True) if process.poll() is None else []
    finally:
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()


def arguments(folder: Path) -> list[str]:
    given = ["--lake", str(folder / "lake"), "--space", str(folder / "space.yaml"), "--json"]
    return [*given, "--trials", "4", "--round", "2", "--folds", "2", "--seed", "3"]


def test_a_killed_sweep_on_ray_comes_to_what_one_in_this_process_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake_of(tmp_path / "lake", A=walk(2_000, 1), B=walk(2_000, 2))
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE))
    out = tmp_path / "out"
    with started(tmp_path, "--out", str(out)) as job:
        wait_for("the first row", lambda: list(out.glob("sweeps/*/trials/*.json")))
        # The machine is gone: the job first, so that it hears of nothing, then its Ray.
        for one in [psutil.Process(job.pid), *psutil.Process(job.pid).children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                one.kill()
    assert not list(out.glob("sweeps/*/manifest.json"))
    with started(tmp_path, "--out", str(out)) as job:
        said, _ = job.communicate(timeout=90)
    assert job.returncode == 0 and "trials were over before" in said
    resumed: dict[str, Any] = json.loads(said.splitlines()[-1])
    plain = [*arguments(tmp_path), "--local", "--out", str(tmp_path / "plain")]
    assert command_line.main(sweep.parser(), sweep.run, plain) == 0
    undisturbed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert same(resumed) == same(undisturbed)
    assert rows_of(out, resumed["run_id"]) == rows_of(tmp_path / "plain", resumed["run_id"])
