"""Files of market data read without a lake: they are taken into one that is gone afterwards.

Called for `jobs.backtest --data FILE`. The rows pass the same checks as in `jobs.backfill`; equal files give
equal files in the lake, so that a run which was killed goes on although its first lake is gone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cluster.storage.lake import Lake
from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec
from features import durations
from features.errors import ConfigError
from jobs.backfilling.forms import recognise
from jobs.backfilling.run import Backfill
from jobs.backfilling.spec import BackfillSpec
from jobs.backfilling.workers import workers
from jobs.command_line import say
from jobs.history.spec import TRADES

VENUE = "file"
"""The venue of symbols that come from files, unless another is given."""


@contextmanager
def lake_of(files: Sequence[Path], venue: str | None) -> Iterator[tuple[StoreSpec, str]]:
    """A lake with these files, until the context ends; and the source that they are: candles or trades.

    Raises ConfigError or DataError for files that can't be read, or are not of one kind.
    """
    spec = BackfillSpec(venue or VENUE)
    source = source_of(files, spec)
    with tempfile.TemporaryDirectory(prefix="tickcast-backtest-") as folder:
        place = StoreSpec(uri=folder)
        lake = Lake(open_store(place))
        lake.store.prepare()
        say(f"reading {', '.join(path.name for path in files)}")
        with workers(place, 1) as alone:
            Backfill(lake, spec, alone).run(files, _Silent())
        yield place, source


def source_of(files: Sequence[Path], spec: BackfillSpec) -> str:
    """The source that all files have in common, as `HistorySpec` names it. Raises ConfigError, DataError."""
    found = {}
    for path in files:
        form = recognise(path, spec)
        length = durations.text(form.interval_ns) if form.interval_ns else ""
        found[f"candles:{length}" if length else TRADES] = path
    if len(found) > 1:
        raise ConfigError(
            f"they are of several kinds: {', '.join(sorted(found))}", "--data", "give files of one kind"
        )
    return next(iter(found))


class _Silent:
    """Files that are read for one run need no progress of their own."""

    def reading(self, file: str, part: float) -> None:
        """Nothing."""

    def taking(self, done: int, of: int) -> None:
        """Nothing."""
