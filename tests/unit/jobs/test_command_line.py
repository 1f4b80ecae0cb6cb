"""What all jobs do alike: exit codes, one line of JSON, one line for an error."""

from __future__ import annotations

import argparse
import json
import os
import signal
from typing import Any

import pytest

from features.errors import DataError
from jobs import command_line


def main(work: Any, *words: str) -> int:
    return command_line.main(command_line.parser("test", "Says nothing.\n\nDoes nothing."), work, words)


def test_the_result_and_the_exit_code_are_those_of_the_job(capsys: pytest.CaptureFixture[str]) -> None:
    def work(arguments: argparse.Namespace) -> tuple[dict[str, Any], int]:
        command_line.say("half way")
        return {"rows": 3, "name": "ö"}, 1

    assert main(work) == 1
    assert capsys.readouterr().out.endswith(" half way\n")
    assert main(work, "--json") == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first.endswith(" half way")
    assert json.loads(last) == {"rows": 3, "name": "ö"}


def test_an_error_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    def work(arguments: argparse.Namespace) -> tuple[dict[str, Any], int]:
        raise DataError("line one\nline two", "file", "mend it")

    assert main(work, "--json") == 2
    out, error = capsys.readouterr()
    assert (out, error) == ("", "error: file: line one line two; mend it\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_job_that_is_ended_politely_cleans_up(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    cleaned = []
    # Whatever runs the tests in the background may have set it to be ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def work(arguments: argparse.Namespace) -> tuple[dict[str, Any], int]:
        try:
            os.kill(os.getpid(), number)
            signal.sigtimedwait([], 5)
        finally:
            cleaned.append(True)
        return {}, 0

    before = signal.getsignal(signal.SIGTERM)
    assert main(work) == 130
    assert cleaned == [True]
    assert capsys.readouterr().err == "interrupted\n"
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_help_says_what_the_job_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(None, "--help")
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert "python -m jobs.test" in shown
    assert "Does nothing." in shown
    assert "--json" in shown
