"""The newest questions of an engine as data sets, while its bars go by: `features.dataset` with a window.

    rolling = RollingDataset(feature_set, {"5m": horizon_ns}, window_ns)
    rolling.add(bars, matrix)                   # what the engine was fed, and the features that it computed
    rolling.dataset("5m", known_by_ns)          # the rows that could be trained on at that time

Called by whoever trains anew along the way. Rows are those of `DatasetBuilder`, to the last bit, the scale
included, which reaches back beyond the window; memory is that of the window and of what is open.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from features import state, walk_forward
from features.bars import Bars
from features.dataset import FIRST_FORECAST_BARS, Dataset
from features.kernels import questions as kernel
from features.models.scaling import FIRST_RETURN, RETURN_RATE
from features.spec import FeatureSet

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class RollingDataset:
    """Questions of several horizons over the newest bars. Not for several threads."""

    def __init__(
        self,
        feature_set: FeatureSet,
        horizons_ns: Mapping[str, int],
        window_ns: int,
        first_forecast_bars: int = FIRST_FORECAST_BARS,
    ) -> None:
        """`window_ns` is how long before the newest bar rows are kept; open ones stay beyond it."""
        self._horizons_ns = dict(horizons_ns)
        self._window_ns = window_ns
        self._skipped = first_forecast_bars - 1
        """Bars that still have to pass before the first question."""
        count = len(self._horizons_ns)
        self._times = np.zeros((2, 0), np.int64)
        self._references = np.zeros(0)
        self._matrix = np.zeros((0, len(feature_set.columns)))
        self._outcomes, self._scales = np.zeros((count, 0)), np.zeros((count, 0))
        self._heads = np.zeros(count, np.int64)
        self._states = np.zeros((count, 2))

    def __len__(self) -> int:
        return len(self._references)

    def add(self, bars: Bars, matrix: Floats) -> None:
        """Take in bars that an engine was fed, oldest first, and their features, shape (m, k)."""
        skip = min(self._skipped, len(bars))
        self._skipped -= skip
        if skip == len(bars):
            return
        old, fresh = len(self), len(bars) - skip
        self._times = np.concatenate([self._times, bars.times[1:3, skip:]], axis=1)
        self._references = np.concatenate([self._references, bars.column("reference")[skip:]])
        self._matrix = np.concatenate([self._matrix, matrix[skip:]])
        unknown = np.full((len(self._heads), fresh), np.nan)
        self._outcomes = np.concatenate([self._outcomes, unknown], axis=1)
        self._scales = np.concatenate([self._scales, unknown], axis=1)
        answered = np.empty(len(self), np.int64)
        ends, sessions = (np.ascontiguousarray(row) for row in self._times)
        for place, horizon_ns in enumerate(self._horizons_ns.values()):
            self._heads[place] = kernel.answer_all(
                ends,
                sessions,
                self._references,
                old,
                int(self._heads[place]),
                horizon_ns,
                FIRST_RETURN,
                RETURN_RATE,
                self._states[place],
                self._outcomes[place],
                self._scales[place],
                answered,
            )
        self._forget()

    def dataset(self, horizon: str, known_by_ns: int, embargo_ns: int = 0) -> Dataset:
        """Rows made within the window before `known_by_ns` whose answers were known the embargo before it.

        Void ones are left out. `Dataset.answered` is not known here: -1.
        """
        place = list(self._horizons_ns).index(horizon)
        made_at_ns, session = self._times
        due_ns = made_at_ns + self._horizons_ns[horizon]
        chosen = walk_forward.before(due_ns, known_by_ns + 1, embargo_ns)
        chosen &= made_at_ns > known_by_ns - self._window_ns
        chosen &= np.isfinite(self._outcomes[place])
        return Dataset(
            self._matrix[chosen],
            self._outcomes[place][chosen],
            self._scales[place][chosen],
            made_at_ns[chosen],
            due_ns[chosen],
            session[chosen],
            np.full(int(chosen.sum()), kernel.OPEN),
        )

    def snapshot(self) -> bytes:
        """The whole state."""
        return state.pack_arrays(
            times=self._times,
            references=self._references,
            matrix=self._matrix,
            outcomes=self._outcomes,
            scales=self._scales,
            heads=self._heads,
            states=self._states,
            skipped=np.array([self._skipped]),
        )

    def load(self, data: bytes) -> None:
        """Take over the state of one with the same settings."""
        arrays = state.unpack_arrays(data)
        self._skipped = int(arrays.pop("skipped")[0])
        for name, array in arrays.items():
            setattr(self, f"_{name}", array)

    def digest(self) -> str:
        """Hash of the state."""
        return state.digest(self.snapshot())

    def _forget(self) -> None:
        """Leave out the bars before the window, but for those whose questions are open and the newest."""
        oldest = int(np.searchsorted(self._times[0], self._times[0, -1] - self._window_ns, side="right"))
        gone = min(oldest, int(self._heads.min()), len(self) - 1)
        # Copying costs as much as what is kept: wait until half of it is old.
        if gone * 2 < len(self):
            return
        self._times = self._times[:, gone:].copy()
        self._outcomes, self._scales = self._outcomes[:, gone:].copy(), self._scales[:, gone:].copy()
        self._references, self._matrix = self._references[gone:].copy(), self._matrix[gone:].copy()
        self._heads -= gone
