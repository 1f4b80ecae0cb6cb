"""Tree ensembles: cutting, bytes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.errors import DataError, SnapshotError
from features.kernels.trees import FLAG_BITS, LEAF, NAN_LEFT, NODE, ZERO_TURNS
from features.models.trees import LIGHTGBM, XGBOOST, Tree, TreeEnsemble

COLUMNS = ("a", "b", "c")


def stump(column: int, threshold: float, left: float, right: float, flags: int = 0) -> Tree:
    """One question, two leaves; nodes in an order of their own."""
    return Tree(
        column=np.array([column, 0, 0], np.int32),
        value=np.array([threshold, right, left]),
        left=np.array([2, -1, -1], np.int32),
        right=np.array([1, -1, -1], np.int32),
        flags=np.array([flags, 0, 0], np.int32),
    )


def random_ensemble(seed: int, library: str = XGBOOST, trees: int = 11, depth: int = 4) -> TreeEnsemble:
    """Full binary trees of random questions."""
    random = np.random.default_rng(seed)
    inner, n = 2**depth - 1, 2 ** (depth + 1) - 1
    places = np.arange(n)
    made = []
    for _ in range(trees):
        left = np.where(places < inner, 2 * places + 1, -1).astype(np.int32)
        flags = random.integers(0, 4, n).astype(np.int32)
        if library == XGBOOST:
            flags &= NAN_LEFT
        value = random.standard_normal(n).astype(np.float32).astype(np.float64)
        made.append(Tree(random.integers(0, 3, n).astype(np.int32), value, left, left + 1, flags))
    return TreeEnsemble.build(library, COLUMNS, made, 0.125)


ZERO = float(np.float32(1e-35))
"""LightGBM's bound is a float32, a little above 1e-35; test_conversion.py holds it against the library."""


def walk(ensemble: TreeEnsemble, row: NDArray[np.float64]) -> float:
    """The ensemble read in the plainest way: the reference."""
    single = ensemble.library == XGBOOST
    total = np.float32(ensemble.base) if single else ensemble.base
    for at in range(ensemble.trees):
        node = ensemble.nodes[at]
        while not node["test"] & LEAF:
            value = float(row[node["test"] >> FLAG_BITS])
            value = float(np.float32(value)) if single else 0.0 if abs(value) <= ZERO else value
            left = value <= float(node["value"])
            if np.isnan(value):
                left = bool(node["test"] & NAN_LEFT)
            elif value == 0.0 and node["test"] & ZERO_TURNS:
                left = not left
            node = ensemble.nodes[node["left"] + (not left)]
        total = total + (np.float32(node["value"]) if single else float(node["value"]))
    return float(total)


values = st.one_of(
    st.sampled_from([0.0, -0.0, np.nan, np.inf, -np.inf]), st.floats(-3, 3, width=32, allow_subnormal=False)
)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 5),
    library=st.sampled_from([XGBOOST, LIGHTGBM]),
    trees=st.integers(0, 9),
    rows=st.lists(st.tuples(values, values, values), min_size=1, max_size=12),
    cut=st.integers(0, 12),
)
def test_any_cut_gives_the_same_bits(
    seed: int, library: str, trees: int, rows: list[tuple[float, ...]], cut: int
) -> None:
    """A row alone, in a batch, in two batches, and read node by node."""
    ensemble = random_ensemble(seed, library, trees, depth=3)
    matrix = np.array(rows)
    whole = ensemble.predict(matrix)
    parts = np.concatenate([ensemble.predict(matrix[:cut]), ensemble.predict(matrix[cut:])])
    alone = [ensemble.predict_row(row) for row in matrix]
    assert whole.tolist() == parts.tolist() == alone == [walk(ensemble, row) for row in matrix]
    assert whole.tolist() == ensemble.predict(np.asfortranarray(matrix)).tolist()


def test_left_is_at_or_below_the_threshold() -> None:
    """And missing values go as the node says."""
    ensemble = TreeEnsemble.build(LIGHTGBM, COLUMNS, [stump(1, 0.5, -1.0, 1.0)], 0.0)
    assert [ensemble.predict_row(np.array([9.0, x, 9.0])) for x in (0.4, 0.5, 0.6, np.nan)] == [-1, -1, 1, 1]
    left = TreeEnsemble.build(LIGHTGBM, COLUMNS, [stump(1, 0.5, -1.0, 1.0, NAN_LEFT)], 0.0)
    assert left.predict_row(np.array([9.0, np.nan, 9.0])) == -1.0


def test_importance_counts_splits() -> None:
    """Most first; a column that nothing asks for is left out."""
    trees = [stump(2, 0.0, 1.0, 2.0), stump(0, 0.0, 1.0, 2.0), stump(2, 1.0, 1.0, 2.0)]
    assert TreeEnsemble.build(XGBOOST, COLUMNS, trees, 0.0).importance() == {"c": 2, "a": 1}


def test_bytes_bring_it_back() -> None:
    """The same predictions, the same digest; equal ensembles are equal bytes."""
    for library in (XGBOOST, LIGHTGBM):
        ensemble = random_ensemble(3, library)
        again = TreeEnsemble.from_bytes(ensemble.to_bytes())
        rows = np.random.default_rng(1).standard_normal((50, 3))
        assert np.array_equal(again.predict(rows), ensemble.predict(rows))
        assert again.digest == ensemble.digest == random_ensemble(3, library).digest
        assert again.digest != random_ensemble(4, library).digest
        assert (again.columns, again.trees, again.library) == (COLUMNS, 11, library)


def test_damage_is_an_error() -> None:
    """One flipped bit anywhere, or a part of the bytes, is no ensemble."""
    data = random_ensemble(1, trees=2).to_bytes()
    for place in range(0, len(data), 37):
        damaged = bytearray(data)
        damaged[place] ^= 4
        with pytest.raises(SnapshotError):
            TreeEnsemble.from_bytes(bytes(damaged))
    with pytest.raises(SnapshotError):
        TreeEnsemble.from_bytes(data[:-1])


@pytest.mark.parametrize(
    "node",
    [
        (0.5, 0, 0),  # leads to itself
        (0.5, 2, 0),  # its right child would be beyond the end
        (0.5, 1, 3 << FLAG_BITS),  # there is no fourth column
        (0.5, 1, -1 << FLAG_BITS),
        (np.nan, 0, LEAF),
        (1.0, 1, LEAF),
    ],
)
def test_nodes_that_lead_astray_are_refused(node: tuple[float, int, int]) -> None:
    """The kernel follows nodes without looking: they are looked at before."""
    nodes = np.array([node, (1.0, 1, LEAF), (2.0, 2, LEAF)], NODE)
    with pytest.raises(DataError, match="leads nowhere"):
        TreeEnsemble(XGBOOST, COLUMNS, nodes, 1, 0.0)


def test_other_arguments_that_can_not_be() -> None:
    """Libraries, columns, numbers and shapes of rows."""
    nodes = random_ensemble(1).nodes
    for library, columns, trees, base in (
        ("catboost", COLUMNS, 1, 0.0),
        (XGBOOST, (), 1, 0.0),
        (XGBOOST, COLUMNS, len(nodes) + 1, 0.0),
        (XGBOOST, COLUMNS, 1, np.nan),
    ):
        with pytest.raises(DataError):
            TreeEnsemble(library, columns, nodes, trees, base)
    ensemble = random_ensemble(1)
    with pytest.raises(DataError, match="shape"):
        ensemble.predict_row(np.zeros(2))
    with pytest.raises(DataError, match="shape"):
        ensemble.predict(np.zeros((4, 2)))
