"""The Ray that a job runs on: the cluster that it was given, or one of its own for as long as it lasts."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from features.errors import ConfigError


@contextmanager
def ray_session(workers: int | None, own: bool = False) -> Iterator[str]:
    """Join the cluster of RAY_ADDRESS, which `ray job submit` sets; else, or for `own`, start one here.

    Gives a word about which it is. Raises ConfigError where the cluster can't be reached.
    """
    import ray
    import ray.data

    given = "RAY_ADDRESS" in os.environ and not own
    try:
        ray.init(
            address=None if given else "local",
            num_cpus=None if given else workers,
            include_dashboard=None if given else False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(f"Ray can't be reached: {error}", "RAY_ADDRESS", "or use --local") from None
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    try:
        yield "on the Ray cluster" if given else "on a local Ray"
    finally:
        ray.shutdown()
