"""Which kind a process is of."""

from __future__ import annotations

import pytest

from tests.bench import soak_watch


@pytest.mark.parametrize(
    ("name", "command", "kind"),
    [
        ("ray::SymbolActo", "ray::SymbolActor.status", soak_watch.ACTORS),
        ("ray::NodeAgent", "ray::NodeAgent", soak_watch.AGENT),
        ("ray::ServeRepli", "ray::ServeReplica:tickcast:Api", soak_watch.REPLICAS),
        ("haproxy", "haproxy -db -f haproxy.cfg", soak_watch.SERVE),
        ("gcs_server", "gcs_server --log_dir=logs", soak_watch.GCS),
        (
            "raylet",
            "raylet --agent_command=python ray/dashboard/agent.py ray::SymbolActor",
            soak_watch.RAYLET,
        ),
        ("python", "python ray/dashboard/dashboard.py --host=127.0.0.1", soak_watch.DASHBOARD),
        ("python", "python -m ray.scripts.scripts start --dashboard-host=127.0.0.1", soak_watch.REST),
        ("python", "python -m cluster.exchange --generate AAA", soak_watch.EXCHANGE),
        ("ray::IDLE", "ray::IDLE", soak_watch.REST),
    ],
)
def test_processes_are_told_apart_by_name_and_command_line(name: str, command: str, kind: str) -> None:
    assert soak_watch.kind_of(name, command) == kind
