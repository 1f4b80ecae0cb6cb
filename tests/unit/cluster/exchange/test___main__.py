"""The command line, as a process."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import httpx
import pytest

REPOSITORY = Path(__file__).resolve().parents[4]


async def run(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cluster.exchange",
        *arguments,
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_it_says_where_it_listens_and_ends_cleanly_on_a_signal(tmp_path: Path):
    ready_file = tmp_path / "ready.json"
    process = await run("--generate", "BTCUSDT,ETHUSDT", "--ready-file", str(ready_file))
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
    ready = json.loads(ready_file.read_text())
    assert line.startswith("listening on ") and ready["websocket_url"] in line
    assert ready["pid"] == process.pid
    async with httpx.AsyncClient() as http:
        state = (await http.get(f"{ready['rest_url']}/tickcast/state")).json()
    assert list(state["symbols"]) == ["BTCUSDT", "ETHUSDT"]
    process.send_signal(signal.SIGTERM)
    _, errors = await asyncio.wait_for(process.communicate(), 10)
    assert (process.returncode, errors) == (0, b"")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--replay", "nosuch.parquet"),
        ("--generate", "A", "--speed", "fast"),
        ("--generate", "A", "--faults", "boom@1s"),
        ("--generate", "A", "--opened-at", "1"),
        ("--generate", "A", "--start-ns", "1", "--opened-at", "1", "--speed", "max"),
        ("--generate", "A", "--faults", "drop:symbol=B@1s"),
        ("--generate", "A", "--ready-file", "nosuch/folder/ready.json"),
    ],
)
async def test_an_error_is_one_line_and_exit_code_2(arguments: tuple[str, ...]):
    process = await run(*arguments)
    _, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert errors.decode().startswith("error: ") and errors.count(b"\n") == 1
