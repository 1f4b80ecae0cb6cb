"""`python -m features.warm_up`: compile every kernel once, so that no process waits for it later.

Run at installation. numba keeps what it compiled beside the sources.
"""

from __future__ import annotations

import numpy as np

from features import bulk, pipeline
from features.engine import EngineSpec, SymbolEngine
from features.models import experts, trees
from features.ticks import Ticks
from features.trading import grid

_SECOND_NS = 1_000_000_000
_TICKS = 2_000


def warm_up() -> None:
    """Run a short stream through every kernel, with scores long enough to be read."""
    pipeline.warm_up()
    trees.warm_up()
    experts.warm_up()
    grid.warm_up()
    at = np.arange(_TICKS, dtype=np.int64) * _SECOND_NS
    price = 100.0 + np.sin(np.arange(_TICKS) / 10.0)
    engine = SymbolEngine(EngineSpec("WARM", horizons=("1s",)))
    step = engine.update(Ticks.from_columns(_TICKS, ts_ns=at, received_ns=at, price=price, size=1.0))
    engine.ledger.scores()
    bulk.run(SymbolEngine(engine.spec), step.bars)
    SymbolEngine.restore(engine.spec, engine.snapshot())


if __name__ == "__main__":
    warm_up()
