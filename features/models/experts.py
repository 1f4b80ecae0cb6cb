"""The mixture of experts that gives the forecast.

Two steps, both learned online from answered questions:

1. *Trust.* Each expert's forecast is multiplied by the lower confidence bound of the slope of outcome
   on forecast, b - doubt * se(b), cut to [0, 1]. An overconfident expert is shrunk; one that has not
   proved anything is shrunk to 0, which is the naive forecast. The standard error takes overlapping
   questions into account: it is that of `overlap` times fewer answers.

2. *Weights.* Bernstein Online Aggregation with the gradient trick (Wintenberger 2017, "Optimal
   learning with Bernstein online aggregation", Machine Learning 106, 119-141): expert i has the
   weight w_i ~ p_i η_i exp(η_i Σ (r_i - η_i r_i²)), r_i the regret of the mixture against expert i,
   linearised at the mixture, and η_i = min(1/(2 max|r_i|), sqrt(-ln p_i / Σ r_i²)) the expert's own
   learning rate. Without any tuning, after n answers the mean square error exceeds that of the best
   convex combination of the (trusted) experts, hence that of the best one and of naive, by at most a
   constant times sqrt(V ln(1/p_i)) / n with V = Σ r_i²: the excess vanishes like 1/sqrt(n), and like
   1/n when one expert is clearly best. Answers come `overlap` questions late and correlated, which
   costs a factor in the bound (Joulani, György & Szepesvári 2013, "Online learning under delayed
   feedback"); the rates are lowered by sqrt(sqrt(overlap)) and sqrt(overlap) for it.

The naive expert comes first and has half of the prior weight.

One more expert may be admitted later and dismissed again: a trained model. While it is not there it counts
as one that repeats the mixture (a sleeping expert: Freund, Schapire, Singer & Warmuth 1997, "Using and
combining predictors that specialize", STOC), so it comes without regret, and with the learning rate that
naive has reached by then. Its prior is that of one learner, on top of theirs. Beside the mixture a model
collects the same record as within (`Bystander`), and keeps it when it is admitted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features import state
from features.kernels import learning as kernel


@dataclass(frozen=True, slots=True)
class MixtureSpec:
    """Settings of the mixture."""

    naive_prior: float = 0.5
    """Prior weight of the naive expert; the others share the rest."""
    doubt: float = 1.5
    """Standard errors that an expert's slope is lowered by."""
    memory: float = 0.99999
    """Forgetting factor an answer of the evidence for trust."""
    outcome_bound: float = 20.0
    """Forecasts and outcomes are cut at this many units of scale."""


class Mixture:
    """The mixture over n experts at one horizon; expert 0 is naive. Returns in units of scale."""

    def __init__(self, spec: MixtureSpec, experts: int, overlap: int) -> None:
        self._rules = (spec.outcome_bound, float(overlap), spec.doubt, spec.memory)
        self._bound = spec.outcome_bound
        self._own = experts
        self._share = (1.0 - spec.naive_prior) / max(1, experts - 1)
        self._own_prior = np.full(experts, self._share)
        self._own_prior[0] = spec.naive_prior if experts > 1 else 0.999
        self._prior = self._own_prior
        self._state = np.zeros((kernel.N_MIXTURE_ROWS, experts))
        self._state[kernel.RATE] = 1.0
        self._state[kernel.WEIGHT] = self._prior / self._prior.sum()

    def mix(self, forecasts: NDArray[np.float64], trusted: NDArray[np.float64]) -> float:
        """The forecast from those of the experts, shape (n,); what each is trusted with goes to `trusted`."""
        return float(kernel.mix(self._state, forecasts, trusted, self._bound))

    def learn(
        self, forecasts: NDArray[np.float64], trusted: NDArray[np.float64], mixed: float, outcome: float
    ) -> None:
        """Learn from one answered question: what `mix` was given, what it gave, what came.

        Without the last forecast where the expert that is a guest now had not been asked.
        """
        kernel.learn_mixture(
            self._state, self._prior, forecasts, trusted, float(mixed), float(outcome), *self._rules
        )

    def learn_guest(self, forecast: float, trusted: float, mixed: float, outcome: float) -> None:
        """Let the guest learn from a question that it was asked while it was a bystander."""
        kernel.learn_expert(
            self._state, self._own, self._share, forecast, trusted, mixed, outcome, *self._rules
        )

    @property
    def has_guest(self) -> bool:
        """Whether there is one expert more than there was at first."""
        return len(self._prior) > self._own

    def admit(self, bystander: Bystander) -> None:
        """Take in one more expert, the guest, with the record that it has. Weights change at once."""
        self._take_over(np.concatenate([self._state, bystander.state], axis=1))
        kernel.weigh(self._state, self._prior)

    def dismiss(self) -> None:
        """Do without the guest from now on. What the others have shown stays."""
        self._take_over(self._state[:, : self._own].copy())
        kernel.weigh(self._state, self._prior)

    def bystander(self) -> Bystander:
        """A new expert beside the mixture."""
        column = np.zeros((kernel.N_MIXTURE_ROWS, 1))
        for row in (kernel.VARIANCE, kernel.RANGE, kernel.RATE):
            column[row] = self._state[row, 0]
        return Bystander(column, self._share, self._rules)

    @property
    def weights(self) -> NDArray[np.float64]:
        """Weight of each expert, shape (n,), summing to 1."""
        return np.array(self._state[kernel.WEIGHT])

    @property
    def trust(self) -> NDArray[np.float64]:
        """Trust in each expert, shape (n,), in [0, 1]."""
        return np.array(self._state[kernel.TRUST])

    def snapshot(self) -> bytes:
        """The whole state."""
        return state.pack_arrays(state=self._state)

    def load(self, data: bytes) -> None:
        """Take over a state."""
        self._take_over(state.unpack_arrays(data)["state"])

    def digest(self) -> str:
        """Hash of the state."""
        return state.digest(self._state.tobytes())

    def _take_over(self, columns: NDArray[np.float64]) -> None:
        self._state = columns
        guests = columns.shape[1] - self._own
        self._prior = np.concatenate([self._own_prior, np.full(guests, self._share)])


class Bystander:
    """An expert beside a mixture: trusted and compared with it in the same way, and without a weight."""

    def __init__(
        self, column: NDArray[np.float64], prior: float, rules: tuple[float, float, float, float]
    ) -> None:
        """Made by `Mixture.bystander`."""
        self.state = column
        """Its record, shape (rows, 1), as a mixture keeps them."""
        self._prior = prior
        self._rules = rules

    def trusted(self, forecast: float) -> float:
        """What its forecast is trusted with."""
        bound = self._rules[0]
        cut = min(max(forecast, -bound), bound) if math.isfinite(forecast) else 0.0
        return float(self.state[kernel.TRUST, 0]) * cut

    def learn(self, forecast: float, trusted: float, mixed: float, outcome: float) -> None:
        """Learn from one answered question: what it said, what it was trusted with, what the mixture said."""
        kernel.learn_expert(self.state, 0, self._prior, forecast, trusted, mixed, outcome, *self._rules)


def warm_up() -> None:
    """Compile the kernels that only a guest needs."""
    mixture = Mixture(MixtureSpec(), 2, 1)
    guest = mixture.bystander()
    guest.learn(0.1, guest.trusted(0.1), 0.0, 0.2)
    mixture.admit(guest)
    mixture.learn_guest(0.1, 0.0, 0.0, 0.2)
    mixture.dismiss()
