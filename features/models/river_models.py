"""River's online models behind our learner interface.

River is imported when one of these is built, not before: it costs some 60 MB a process.
"""

from __future__ import annotations

import pickle
from typing import Any

from features import state
from features.models.base import Learner, Row


class RiverLearner(Learner):
    """A River regressor over features named by their position."""

    def __init__(self, model: Any, k: int) -> None:
        self._model = model
        self._names = tuple(range(k))

    def predict(self, x: Row) -> float:
        return float(self._model.predict_one(dict(zip(self._names, x.tolist(), strict=True))))

    def learn(self, x: Row, y: float) -> None:
        self._model.learn_one(dict(zip(self._names, x.tolist(), strict=True)), y)

    def snapshot(self) -> bytes:
        self._fill_caches()
        return pickle.dumps(self._model)

    def load(self, data: bytes) -> None:
        self._model = pickle.loads(data)

    def digest(self) -> str:
        self._fill_caches()
        return state.object_digest(self._model)

    def _fill_caches(self) -> None:
        # Some models compute on the first forecast after they have learned (the posterior mean of the
        # Bayesian one), and keep it. Equal state must look equal whether or not that has happened.
        self._model.predict_one(dict.fromkeys(self._names, 0.0))


def linear(k: int, rate: float) -> RiverLearner:
    """StandardScaler | LinearRegression by stochastic gradient descent with learning rate `rate`."""
    from river import linear_model, optim, preprocessing

    model = linear_model.LinearRegression(optimizer=optim.SGD(rate), intercept_lr=rate, clip_gradient=10.0)
    return RiverLearner(preprocessing.StandardScaler() | model, k)


def bayesian(k: int, alpha: float) -> RiverLearner:
    """StandardScaler | BayesianLinearRegression with prior precision `alpha` (Bishop 2006, 3.3)."""
    from river import linear_model, preprocessing

    return RiverLearner(
        preprocessing.StandardScaler() | linear_model.BayesianLinearRegression(alpha=alpha), k
    )


def tree(k: int, grace_period: float) -> RiverLearner:
    """HoeffdingAdaptiveTreeRegressor: grows and prunes with the stream (Bifet & Gavaldà 2009)."""
    from river import tree as river_tree

    model = river_tree.HoeffdingAdaptiveTreeRegressor(
        grace_period=int(grace_period), leaf_prediction="mean", max_depth=6, seed=7
    )
    return RiverLearner(model, k)
