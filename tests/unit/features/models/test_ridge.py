"""Ridge is the exact solution of what its docstring says, at every step, and stays sound without end."""

from __future__ import annotations

import numpy as np
import pytest

from features.models.ridge import Ridge


def stream(n: int, k: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    x = np.clip(random.standard_normal((n, k)), -5.0, 5.0)
    return x, np.clip(x @ np.linspace(-1.0, 1.0, k) + random.standard_normal(n), -5.0, 5.0)


@pytest.mark.parametrize(("penalty", "memory"), [(1.0, 1.0), (100.0, 0.99999), (30.0, 0.97), (1e4, 0.9)])
def test_the_weights_are_the_weighted_ridge_solution_on_every_prefix(penalty: float, memory: float) -> None:
    x, y = stream(120)
    ridge = Ridge(3, penalty, memory)
    rows = np.column_stack([x, np.ones(len(x))])
    for n in range(1, len(x) + 1):
        ridge.learn(x[n - 1], float(y[n - 1]))
        # Least squares of the rows weighted by sqrt(memory^age), over those of the fading penalty.
        age = np.sqrt(memory ** np.arange(n - 1, -1, -1.0))
        prior = np.sqrt(penalty * memory**n) * np.eye(4)
        stacked = np.vstack([rows[:n] * age[:, None], prior])
        want = np.linalg.lstsq(stacked, np.concatenate([y[:n] * age, np.zeros(4)]), rcond=None)[0]
        probe = np.array([0.5, -1.0, 2.0])
        assert ridge.predict(probe) == pytest.approx(want @ [*probe, 1.0], rel=1e-9, abs=1e-12)


def test_targets_beyond_five_units_count_as_five() -> None:
    one, other = Ridge(3, 10.0, 0.999), Ridge(3, 10.0, 0.999)
    for row in stream(20)[0]:
        one.learn(row, 20.0)
        other.learn(row, 5.0)
    assert one.digest() == other.digest()


def inverse_of(ridge: Ridge) -> np.ndarray:
    return ridge._inverse


@pytest.mark.parametrize("memory", [1.0, 0.99999, 0.999, 0.9])
def test_it_stays_sound_over_200_000_steps_of_inputs_that_hardly_differ(memory: float) -> None:
    random = np.random.default_rng(3)
    z = random.standard_normal((200_000, 3))
    columns = (z[:, 0], z[:, 0] + 1e-3 * z[:, 1], z[:, 0] + z[:, 1], z[:, 2], z[:, 2], 0.0 * z[:, 0])
    x = np.clip(np.column_stack(columns), -5.0, 5.0)
    y = np.clip(0.5 * z[:, 0] - z[:, 2] + 0.1 * random.standard_normal(len(z)), -5.0, 5.0)
    ridge = Ridge(x.shape[1], 100.0, memory)
    for row, target in zip(x, y.tolist(), strict=True):
        ridge.learn(row, target)
    inverse = inverse_of(ridge)
    assert (inverse == inverse.T).all()
    assert np.linalg.eigvalsh(inverse)[0] > 0.0
    assert np.isfinite(inverse).all()
    said = np.array([ridge.predict(row) for row in x[-500:]])
    # With a memory of ten answers the noise shows; with more, hardly.
    assert np.sqrt(((said - y[-500:]) ** 2).mean()) < (0.2 if memory < 0.99 else 0.12)


def test_an_input_that_stays_zero_never_lets_the_inverse_overflow() -> None:
    ridge = Ridge(2, 100.0, 0.5)
    for step in range(5000):  # 2^5000 is no float64
        ridge.learn(np.array([0.0, (-1.0) ** step]), 1.0)
    assert np.isfinite(inverse_of(ridge)).all()
    assert inverse_of(ridge).max() < 1e5
    # The input comes alive: it is learned as if it were new.
    for step in range(200):
        x = np.array([(-1.0) ** step, (-1.0) ** (step // 2)])
        ridge.learn(x, float(2.0 * x[0]))
    assert ridge.predict(np.array([1.0, 0.0])) == pytest.approx(2.0, abs=0.01)


def test_what_was_learned_of_an_input_that_fell_silent_is_forgotten_in_the_end() -> None:
    ridge, alive = Ridge(2, 100.0, 0.9), np.array([1.0, 0.0])
    for step in range(500):
        ridge.learn(alive * (-1.0) ** step, 2.0 * (-1.0) ** step)
    assert ridge.predict(alive) == pytest.approx(2.0, abs=0.01)
    for step in range(3000):
        ridge.learn(np.array([0.0, (-1.0) ** step]), 0.0)
    assert abs(ridge.predict(alive)) < 1e-3


def test_a_larger_penalty_is_more_cautious() -> None:
    x, y = stream(50)
    sizes = []
    for penalty in (0.1, 10.0, 1000.0):
        ridge = Ridge(3, penalty, 1.0)
        for row, target in zip(x, y, strict=True):
            ridge.learn(row, float(target))
        sizes.append(abs(ridge.predict(np.array([1.0, 0.0, -1.0]))))
    assert sizes[0] > sizes[1] > sizes[2] > 0.0
