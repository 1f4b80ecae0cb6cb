"""Charts of a written report as PNG files, drawn by a headless Chromium.

Plotly draws in a browser, so an image needs one; the report itself doesn't. Each chart is a start of the
browser of two or three seconds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from features.errors import ConfigError

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FIGURE = re.compile(r'<figure id="([\w-]+)" data-chart="">')
_TIMEOUT_S = 120.0
_SETTLED_MS = 4_000
"""Of the page's own time: all is drawn by then."""
SIZE = (1280, 720)
"""Width and height in pixels."""


def find_browser() -> str:
    """The path of a browser that can draw. Raises ConfigError, saying what to install."""
    for name in _BROWSERS:
        found = shutil.which(name)
        if found is not None:
            return found
    raise ConfigError(
        "there is no browser to draw images with",
        "--png",
        f"install Debian's chromium, or put one of {', '.join(_BROWSERS)} on the PATH",
    )


def write_images(report: Path, folder: Path, browser: str) -> list[Path]:
    """Draw every chart of a report into a folder, each as it is when the report is opened; the files.

    Raises ConfigError where the browser gives none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = _FIGURE.findall(report.read_text(encoding="utf-8"))
    with TemporaryDirectory() as profile:
        return [_draw(report, name, folder / f"{report.stem}-{name}.png", browser, profile) for name in names]


def _draw(report: Path, name: str, target: Path, browser: str, profile: str) -> Path:
    command = [
        browser,
        "--headless",
        "--disable-gpu",
        "--hide-scrollbars",
        "--force-device-scale-factor=1",
        "--no-first-run",
        "--disable-background-networking",
        f"--user-data-dir={profile}",
        f"--window-size={SIZE[0]},{SIZE[1]}",
        f"--virtual-time-budget={_SETTLED_MS}",
        f"--screenshot={target.absolute()}",
        f"{report.absolute().as_uri()}#only={name}",
    ]
    if os.geteuid() == 0:
        command.insert(1, "--no-sandbox")  # its sandbox refuses to run as root
    target.unlink(missing_ok=True)
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(
            f"the browser drew no {target.name}: {error}", browser, "try without --png"
        ) from None
    if not target.is_file():
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise ConfigError(
            f"the browser drew no {target.name}: {' '.join(last)}", browser, "try without --png"
        )
    return target
