"""The mixture is never much worse than its best expert, and is naive where there is nothing to know."""

from __future__ import annotations

import math

import numpy as np
import pytest

from features.kernels import learning as kernel
from features.models.catalogue import LearnerSpec
from features.models.experts import Mixture, MixtureSpec

N = 20_000


def overlapping(returns: np.ndarray, overlap: int) -> np.ndarray:
    """Sums of `overlap` neighbours, in units of their deviation: outcomes as the engine sees them."""
    sums = np.concatenate([[0.0], np.cumsum(returns)])
    return (sums[overlap:] - sums[:-overlap]) / math.sqrt(overlap)


def follow(
    forecasts: np.ndarray, outcomes: np.ndarray, overlap: int = 1, spec: MixtureSpec | None = None
) -> tuple[np.ndarray, Mixture]:
    """What the mixture says to forecasts (n, experts) whose answers come `overlap` questions late."""
    mixture = Mixture(spec or MixtureSpec(), forecasts.shape[1], overlap)
    trusted, said = np.zeros_like(forecasts), np.zeros(len(outcomes))
    for i in range(len(outcomes)):
        past = i - overlap
        if past >= 0:
            mixture.learn(forecasts[past], trusted[past], said[past], float(outcomes[past]))
        said[i] = mixture.mix(forecasts[i], trusted[i])
        assert mixture.weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert ((mixture.trust >= 0.0) & (mixture.trust <= 1.0)).all()
    assert (mixture.weights >= 0.0).all()
    return said, mixture


def taught_forecasts(names: tuple[str, ...], x: np.ndarray, outcomes: np.ndarray, overlap: int) -> np.ndarray:
    """What learners say to the rows x when each answer comes `overlap` questions late."""
    learners = [LearnerSpec.parse(name).build(x.shape[1], overlap) for name in names]
    said = np.empty((len(x), len(names)))
    for i, row in enumerate(x):
        if i >= overlap:
            for learner in learners:
                learner.learn(x[i - overlap], float(outcomes[i - overlap]))
        said[i] = [learner.predict(row) for learner in learners]
    return said


def worse_than_naive(said: np.ndarray, outcomes: np.ndarray) -> float:
    """Excess of the mean square error over that of no change, as a share."""
    return float(((outcomes - said) ** 2).mean() / (outcomes**2).mean() - 1.0)


LEARNERS = ("naive", "ew_mean", "ridge:100", "ridge:1000")


@pytest.mark.parametrize("overlap", [1, 10, 60])
@pytest.mark.parametrize("slow", [False, True], ids=["white features", "wandering features"])
def test_on_pure_noise_it_costs_nothing_to_have_learners(overlap: int, slow: bool) -> None:
    costs = []
    for seed in range(4):
        random = np.random.default_rng(seed)
        m = N + overlap - 1
        returns = random.standard_t(3, m) if seed % 2 else random.standard_normal(m)
        outcomes = overlapping(returns / returns.std(), overlap)
        x = random.standard_normal((N, 6))
        if slow:
            x = np.cumsum(x, axis=0)
            x = (x - x.mean(axis=0)) / x.std(axis=0)
        forecasts = taught_forecasts(LEARNERS, np.clip(x, -5.0, 5.0), outcomes, overlap)
        said, _ = follow(forecasts, outcomes, overlap)
        costs.append(worse_than_naive(said, outcomes))
    # Wandering features correlate with wandering outcomes by chance: the worst case of regression.
    assert max(costs) < (0.006 if slow else 0.002)
    assert np.mean(costs) < 0.002


@pytest.mark.parametrize("overlap", [1, 10, 60])
def test_a_good_expert_is_followed(overlap: int) -> None:
    random = np.random.default_rng(5)
    known, unknown = random.standard_normal((2, N + overlap - 1))
    outcomes = overlapping(0.3 * known + unknown, overlap)
    good = overlapping(0.3 * known, overlap)
    noise = random.standard_normal((N, 3))
    said, mixture = follow(np.column_stack([np.zeros(N), noise[:, 0], good, noise[:, 1]]), outcomes, overlap)
    best = ((outcomes - good) ** 2).mean()
    naive = (outcomes**2).mean()
    got = ((outcomes - said)[N // 2 :] ** 2).mean()
    assert got < best + 0.25 * (naive - best)
    assert mixture.weights.argmax() == 2
    assert mixture.trust[2] > 0.7


def test_an_overconfident_expert_is_shrunk_to_its_slope() -> None:
    random = np.random.default_rng(6)
    known = random.standard_normal(N)
    outcomes = 0.5 * known + random.standard_normal(N)
    _, mixture = follow(np.column_stack([np.zeros(N), 2.0 * known]), outcomes)
    assert mixture.trust[1] == pytest.approx(0.25, abs=0.02)


def test_an_expert_that_is_wrong_or_unproven_is_not_believed() -> None:
    random = np.random.default_rng(7)
    outcomes = random.standard_normal(N)
    wrong = -0.3 * outcomes + random.standard_normal(N)
    said, mixture = follow(np.column_stack([np.zeros(N), wrong]), outcomes)
    assert mixture.trust[1] == 0.0
    assert worse_than_naive(said, outcomes) < 1e-4
    first = np.array([0.0, 3.0])
    assert Mixture(MixtureSpec(), 2, 1).mix(first, np.zeros(2)) == 0.0


def regret_bound(said: np.ndarray, trusted: np.ndarray, outcomes: np.ndarray, prior: float) -> float:
    """What Wintenberger (2017, theorem 3.1 with the gradient trick) allows, with a margin for the ranges.

    Sum of (loss of mixture - loss of expert) <= 2 sqrt(V ln(1/p)) + 6 range ln(1/p) + loglog terms,
    V the sum of squared linearised regrets against that expert.
    """
    regret = 2.0 * (said - outcomes) * (said - trusted)
    log_prior = math.log(1.0 / prior) + math.log(1.0 + math.log(len(said)))
    return 3.0 * math.sqrt((regret**2).sum() * log_prior) + 6.0 * float(abs(regret).max()) * log_prior


ADVERSARIES = {
    "the good one changes": lambda y, r: np.where(np.arange(len(y)) < len(y) // 2, 0.5 * y, -0.5 * y),
    "right until trusted": lambda y, r: np.where(np.arange(len(y)) < 500, 0.9 * y, -y),
    "alternates": lambda y, r: 2.0 * (-1.0) ** np.arange(len(y)),
    "huge once in a while": lambda y, r: np.where(np.arange(len(y)) % 997 == 0, 1e9, 0.1 * y),
    "noise": lambda y, r: r.standard_normal(len(y)),
}


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_the_regret_against_every_trusted_expert_is_within_the_bound(adversary: str) -> None:
    random = np.random.default_rng(8)
    outcomes = random.standard_t(4, 5000)
    other = 0.2 * outcomes + random.standard_normal(5000)
    forecasts = np.column_stack([np.zeros(5000), ADVERSARIES[adversary](outcomes, random), other])
    mixture = Mixture(MixtureSpec(), 3, 1)
    trusted, said = np.zeros_like(forecasts), np.zeros(5000)
    for i, outcome in enumerate(outcomes):
        said[i] = mixture.mix(forecasts[i], trusted[i])
        mixture.learn(forecasts[i], trusted[i], said[i], float(outcome))
    for expert, prior in enumerate((0.5, 0.25, 0.25)):
        loss = ((outcomes - said) ** 2 - (outcomes - trusted[:, expert]) ** 2).sum()
        assert loss <= regret_bound(said, trusted[:, expert], outcomes, prior)


def test_the_weights_are_what_the_formula_in_the_docstring_says() -> None:
    random = np.random.default_rng(9)
    outcomes = random.standard_normal(400)
    forecasts = np.column_stack([np.zeros(400), 0.5 * outcomes + random.standard_normal(400), 0.3 * outcomes])
    overlap = 4
    mixture = Mixture(MixtureSpec(naive_prior=0.4), 3, overlap)
    prior = np.array([0.4, 0.3, 0.3])
    squares, most, penalised, trusted = np.zeros((4, 3))
    for forecast, outcome in zip(forecasts, outcomes, strict=True):
        said = mixture.mix(forecast, trusted)
        mixture.learn(forecast, trusted, said, float(outcome))
        regret = 2.0 * (said - outcome) * (said - trusted)
        squares = squares + regret**2
        most = np.maximum(most, abs(regret))
        # Both rates are lowered for the overlap: the root of it under the root, and the root of it.
        rate = np.ones(3)
        seen = squares > 0.0
        rate[seen] = np.minimum(
            1.0 / (2.0 * most[seen] * math.sqrt(overlap)),
            np.sqrt(-np.log(prior[seen]) / (squares[seen] * math.sqrt(overlap))),
        )
        # Each answer is penalised at the rate of its time, the sum weighed at the rate of now.
        penalised = penalised + regret - rate * regret**2
        weights = prior * rate * np.exp(rate * penalised)
        np.testing.assert_allclose(mixture.weights, weights / weights.sum(), rtol=1e-9)


def test_trust_is_the_lower_bound_of_the_slope() -> None:
    random = np.random.default_rng(10)
    x = random.standard_normal(3000)
    y = 0.5 * x + random.standard_normal(3000)
    spec = MixtureSpec(memory=1.0, doubt=2.0)
    _, mixture = follow(np.column_stack([np.zeros(3000), x]), y, spec=spec)
    slope = (x * y).sum() / (x * x).sum()
    error = math.sqrt(((x * (y - slope * x)) ** 2).sum()) / (x * x).sum()
    assert mixture.trust[1] == pytest.approx(slope - 2.0 * error, abs=0.004)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300, -1e300])
def test_an_expert_that_breaks_harms_nobody(bad: float) -> None:
    random = np.random.default_rng(11)
    known = random.standard_normal(6000)
    outcomes = 0.5 * known + random.standard_normal(6000)
    broken = np.where(random.random(6000) < 0.5, bad, random.standard_normal(6000))
    good = np.column_stack([np.zeros(6000), 0.5 * known, np.zeros(6000)])
    spoilt = np.column_stack([np.zeros(6000), 0.5 * known, broken])
    said, mixture = follow(spoilt, outcomes)
    want, _ = follow(good, outcomes)
    assert np.isfinite(said).all()
    assert np.isfinite(mixture.weights).all()
    loss, best = ((outcomes - said) ** 2).mean(), ((outcomes - want) ** 2).mean()
    assert loss < 1.005 * best


@pytest.mark.parametrize("outcome", [0.0, 20.0, -20.0, 1e9])
def test_constant_outcomes_and_forecasts_give_finite_weights(outcome: float) -> None:
    for value in (0.0, 1e-200, 20.0, -20.0):
        said, mixture = follow(np.tile([0.0, value, -value], (500, 1)), np.full(500, outcome))
        assert np.isfinite(said).all()
        assert np.isfinite(mixture.weights).all()


def test_one_expert_alone_is_naive() -> None:
    said, mixture = follow(np.zeros((50, 1)), np.ones(50))
    assert (said == 0.0).all()
    assert mixture.weights.tolist() == [1.0]


def test_a_restored_mixture_goes_on_to_the_bit() -> None:
    random = np.random.default_rng(12)
    outcomes = random.standard_normal(400)
    forecasts = np.column_stack([np.zeros(400), 0.5 * outcomes])
    whole, part = Mixture(MixtureSpec(), 2, 3), Mixture(MixtureSpec(), 2, 3)
    trusted = np.zeros(2)
    for i, outcome in enumerate(outcomes):
        if i == 200:
            data, part = part.snapshot(), Mixture(MixtureSpec(), 2, 3)
            part.load(data)
        for mixture in (whole, part):
            said = mixture.mix(forecasts[i], trusted)
            mixture.learn(forecasts[i], trusted, said, float(outcome))
    assert part.digest() == whole.digest()


# A guest


def told(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """What naive, a learner and a guest said, shape (n, 3), and what came."""
    random = np.random.default_rng(seed)
    outcome = random.standard_normal(n)
    learner, guest = (0.3 * (outcome + random.standard_normal(n)) for _ in range(2))
    return np.stack([np.zeros(n), learner, guest], axis=1), outcome


def lead(mixture: Mixture, said: np.ndarray, outcome: np.ndarray) -> list[float]:
    mixed, trusted = [], np.zeros(said.shape[1])
    for row, y in zip(said, outcome.tolist(), strict=True):
        mixed.append(mixture.mix(row.copy(), trusted))
        mixture.learn(row.copy(), trusted, mixed[-1], y)
    return mixed


def test_a_guest_is_trusted_like_an_expert_that_was_there_from_the_start() -> None:
    said, outcome = told(500)
    three, two = Mixture(MixtureSpec(), 3, 1), Mixture(MixtureSpec(), 2, 1)
    two.admit(two.bystander())
    lead(three, said, outcome)
    lead(two, said, outcome)
    assert two.trust.tolist() == three.trust.tolist()  # it does not depend on the others
    assert two.weights.sum() == pytest.approx(1.0)
    assert two.weights[2] > 0.1


def test_a_bystander_shows_the_same_as_within_and_changes_nothing() -> None:
    said, outcome = told(400)
    alone, beside = Mixture(MixtureSpec(), 2, 1), Mixture(MixtureSpec(), 2, 1)
    want = lead(alone, said[:, :2], outcome)
    guest, trusted, mixed = beside.bystander(), np.zeros(2), []
    for row, y in zip(said, outcome.tolist(), strict=True):
        mixed.append(beside.mix(row[:2].copy(), trusted))
        beside.learn(row[:2].copy(), trusted, mixed[-1], y)
        guest.learn(float(row[2]), guest.trusted(float(row[2])), mixed[-1], y)
    assert mixed == want
    assert beside.digest() == alone.digest()
    beside.admit(guest)
    assert beside.trust[2] == pytest.approx(trust_within(said, outcome))
    assert beside.weights[2] > 10 * beside.weights[0]
    lead(beside, *told(400, seed=1))
    assert beside.weights[2] > 0.3  # it knows what the other does not


def trust_within(said: np.ndarray, outcome: np.ndarray) -> float:
    three = Mixture(MixtureSpec(), 3, 1)
    lead(three, said, outcome)
    return float(three.trust[2])


def test_a_new_guest_takes_no_more_than_its_share_and_leaves_without_a_trace() -> None:
    said, outcome = told(300)
    mixture = Mixture(MixtureSpec(), 2, 1)
    lead(mixture, said[:, :2], outcome)
    before, state = mixture.weights, mixture._state.copy()
    mixture.admit(mixture.bystander())
    assert mixture.trust[2] == 0.0
    assert mixture.weights[:2] / mixture.weights[:2].sum() == pytest.approx(before)
    mixture.dismiss()
    assert mixture.weights == pytest.approx(before)
    rows = [row for row in range(len(state)) if row != kernel.WEIGHT]
    assert mixture._state[rows].tobytes() == state[rows].tobytes()


def test_a_mixture_with_a_guest_comes_back_from_a_snapshot() -> None:
    said, outcome = told(200)
    mixture, copy = Mixture(MixtureSpec(), 2, 1), Mixture(MixtureSpec(), 2, 1)
    mixture.admit(mixture.bystander())
    lead(mixture, said[:100], outcome[:100])
    copy.load(mixture.snapshot())
    assert copy.has_guest
    assert lead(copy, said[100:], outcome[100:]) == lead(mixture, said[100:], outcome[100:])
    assert copy.digest() == mixture.digest()
