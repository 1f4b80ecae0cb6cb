"""The fault drill on real Ray and, where rclone is there, a real S3 server: nothing is lost."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.local_ray.conftest import ROOT

pytestmark = [pytest.mark.ray, pytest.mark.timeout(420)]


def test_twenty_faults_lose_double_and_change_nothing() -> None:
    words = ["--faults", "20", "--seconds", "80", "--seed", "11", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "jobs.drill", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.stdout, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert [check for check in result["checks"] if not check["passed"]] == []
    assert done.returncode == 0
    assert (result["passed"], result["store"], len(result["faults"])) == (True, "s3", 20)
    assert len(result["checks"]) == 4 * 7
    assert result["recovery_s"]["kill_actor"]["count"] >= 5
