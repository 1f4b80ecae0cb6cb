"""What all jobs have in common on the command line: the lake, progress, the JSON result, exit codes.

    sys.exit(command_line.main(parser(), run))      # run(arguments) gives the result and the exit code

Progress is for people, line by line. With `--json` the last line on stdout is the result as one JSON
object. What can't be done as asked is one line on stderr and exit code 2.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from cluster import config
from cluster.storage.lake import Lake
from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec
from features.errors import TickcastError

Run = Callable[[argparse.Namespace], tuple[dict[str, Any], int]]
"""Does the job; gives its result as plain values, and the exit code."""

_INTERRUPTED = 130


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """The command line of one job: `--json`, and what the job adds."""
    made = argparse.ArgumentParser(
        prog=f"python -m jobs.{name}",
        description=description.partition("\n\n")[2].strip() or description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--json", action="store_true", help="print the result as one line of JSON, last")
    return made


def add_lake(to: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    """Let the user say which lake the job works on; a job may add other ways to the group."""
    which = to.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--lake",
        metavar="URI",
        help="a folder or s3://bucket/prefix; keys and endpoint come from the environment, as for AWS tools",
    )
    which.add_argument("--config", type=Path, metavar="FILE", help="the lake of this configuration (YAML)")
    return which


def open_lake(arguments: argparse.Namespace, archive: str = "archive/") -> Lake:
    """The lake that the user named. Raises ConfigError."""
    return Lake(open_store(lake_spec(arguments)), archive)


def lake_spec(arguments: argparse.Namespace) -> StoreSpec:
    """Where the lake is that the user named, for other processes too. Raises ConfigError."""
    if arguments.config is not None:
        return config.load(arguments.config).lake_spec()
    return config.parse(StoreSpec, {"uri": arguments.lake}, "--lake").anchored(Path.cwd())


def say(text: str) -> None:
    """One line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def main(command: argparse.ArgumentParser, run: Run, words: Sequence[str] | None = None) -> int:
    """Run a job; the exit code of the process."""
    arguments = command.parse_args(words)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        with _polite_end():
            result, code = run(arguments)
    except TickcastError as error:
        print(f"error: {' '.join(str(error).splitlines())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    if arguments.json:
        print(json.dumps(result), flush=True)
    return code


@contextmanager
def _polite_end() -> Iterator[None]:
    """Let SIGTERM end the job like Ctrl-C, so that it removes its temporary files."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
