"""Gradient boosted trees, as trained by XGBoost or LightGBM, without either library.

    ensemble = TreeEnsemble.build("xgboost", columns, trees, base)
    ensemble.predict_row(row)           # a few microseconds
    ensemble.predict(rows)              # the same bits, however the rows are cut

Predictions equal the library's own to the last bit: `jobs.training` converts what it trains, and checks
that. XGBoost casts features to float32, sums in float32 from the base score on, and goes left below the
threshold. LightGBM works in float64, goes left at or below it, and takes what is within 1e-35 of 0 for 0.
Sources: Chen & Guestrin 2016, "XGBoost: a scalable tree boosting system", KDD; Ke et al. 2017, "LightGBM: a
highly efficient gradient boosting decision tree", NeurIPS.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features import state
from features.errors import DataError, SnapshotError
from features.kernels import trees as kernel

XGBOOST, LIGHTGBM = "xgboost", "lightgbm"
LIBRARIES = (XGBOOST, LIGHTGBM)
_VERSION = 1
_MOST_COLUMNS = 1 << (31 - kernel.FLAG_BITS)


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """One tree in any order of nodes, the root first; all arrays have one place a node.

    Children are places in the same arrays; a leaf has -1 as its left child. `value` is what a leaf gives,
    and the threshold of other nodes: a row goes left whose column is at or below it.
    """

    column: NDArray[np.int32]
    value: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    flags: NDArray[np.int32]
    """NAN_LEFT and ZERO_TURNS of `features.kernels.trees`."""


class TreeEnsemble:
    """The trees of one model. Never changes; may be used by several threads."""

    def __init__(
        self,
        library: str,
        columns: Sequence[str],
        nodes: NDArray[np.void],
        trees: int,
        base: float,
        steepness: float = 0.0,
    ) -> None:
        """`nodes` are laid out as `features.kernels.trees` says. Raises DataError where they can't be."""
        self.library = library
        self.columns = tuple(columns)
        """Names of the features, in the order of a row."""
        self.trees = trees
        self.base = float(base)
        self.steepness = float(steepness)
        """Above 0: the sum of the leaves becomes a probability."""
        # A copy has the one layout that the kernel is compiled for, and is nobody else's.
        self.nodes = np.array(nodes, kernel.NODE, order="C")
        self._check()
        self._model = (self.nodes, trees, self.base, library == XGBOOST, self.steepness)

    @classmethod
    def build(
        cls,
        library: str,
        columns: Sequence[str],
        trees: Sequence[Tree],
        base: float,
        steepness: float = 0.0,
    ) -> TreeEnsemble:
        """An ensemble of these trees, in the order in which they are summed."""
        size = len(trees)
        parts: list[tuple[float, int, int]] = [(0.0, 0, 0)] * size
        for root, tree in enumerate(trees):
            column, value = tree.column.tolist(), tree.value.tolist()
            left, right, flags = tree.left.tolist(), tree.right.tolist(), tree.flags.tolist()
            waiting = [(0, root)]
            for source, place in waiting:  # grows as it goes: level by level
                if left[source] < 0:
                    parts[place] = (value[source], place, kernel.LEAF)
                    continue
                first = len(parts)
                parts[place] = (value[source], first, (column[source] << kernel.FLAG_BITS) + flags[source])
                parts += [(0.0, 0, 0)] * 2
                waiting += [(left[source], first), (right[source], first + 1)]
        return cls(library, columns, np.array(parts, kernel.NODE), size, base, steepness)

    def predict_row(self, row: NDArray[np.float64]) -> float:
        """What the ensemble says of one row, shape (k,), contiguous; NaN is missing."""
        if row.shape != (len(self.columns),):
            raise DataError(f"the row has shape {row.shape}, not ({len(self.columns)},)", "trees")
        return float(kernel.predict_row(*self._model, row))

    def predict(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the ensemble says of each of `rows` (n, k), shape (n,)."""
        if rows.ndim != 2 or rows.shape[1] != len(self.columns):
            raise DataError(f"rows have shape {rows.shape}, not (n, {len(self.columns)})", "trees")
        out = np.empty(len(rows))
        flags = rows.flags
        plain = rows if flags.c_contiguous and flags.writeable else rows.copy(order="C")
        kernel.predict_rows(*self._model, plain, out)
        return out

    def importance(self) -> dict[str, int]:
        """How many splits ask for each column, most first; columns never asked for are left out."""
        tests = self.nodes["test"]
        asked = tests[tests & kernel.LEAF == 0] >> kernel.FLAG_BITS
        counts = np.bincount(asked, minlength=len(self.columns))
        order = np.argsort(-counts, kind="stable")
        return {self.columns[i]: int(counts[i]) for i in order if counts[i]}

    def to_bytes(self) -> bytes:
        """The whole ensemble, with a checksum; equal ensembles give equal bytes."""
        head = {
            "library": self.library,
            "columns": list(self.columns),
            "trees": self.trees,
            "base": self.base.hex(),
            "steepness": self.steepness.hex(),
        }
        blocks = {"head": json.dumps(head).encode(), "nodes": self.nodes.tobytes()}
        return state.pack("trees", _VERSION, "", blocks)

    @classmethod
    def from_bytes(cls, data: bytes) -> TreeEnsemble:
        """What `to_bytes` wrote. Raises SnapshotError for damaged data and for a newer version's."""
        blocks = state.unpack("trees", _VERSION, "", data)
        try:
            head = json.loads(blocks["head"])
            nodes = np.frombuffer(blocks["nodes"], kernel.NODE)
            base, steepness = (float.fromhex(head[name]) for name in ("base", "steepness"))
            return cls(head["library"], head["columns"], nodes, head["trees"], base, steepness)
        except (ValueError, KeyError, TypeError, DataError) as error:
            raise SnapshotError(f"these are no trees: {error}", "trees", "train the model again") from None

    @property
    def digest(self) -> str:
        """Identity: equal digests predict equally."""
        return state.digest(self.to_bytes())

    def _check(self) -> None:
        """The kernel follows what is in the nodes: nothing may lead astray, or in circles."""
        if self.library not in LIBRARIES:
            raise DataError(f"unknown library {self.library!r}", "trees", f"use {' or '.join(LIBRARIES)}")
        if not self.columns or len(self.columns) > _MOST_COLUMNS:
            raise DataError(f"{len(self.columns)} columns", "trees", "give the names of the features")
        if not (math.isfinite(self.base) and 0.0 <= self.steepness < math.inf):
            raise DataError(f"base {self.base} or steepness {self.steepness} can't be", "trees")
        if not 0 <= self.trees <= len(self.nodes):
            raise DataError(f"{self.trees} trees of {len(self.nodes)} nodes", "trees")
        places, left, test = np.arange(len(self.nodes)), self.nodes["left"], self.nodes["test"]
        is_leaf = test & kernel.LEAF != 0
        leads = np.where(is_leaf, left == places, (left > places) & (left < len(self.nodes) - 1))
        columns = test >> kernel.FLAG_BITS
        asks = (columns >= 0) & (columns < len(self.columns))
        if not (leads.all() and asks.all() and np.isfinite(self.nodes["value"][is_leaf]).all()):
            raise DataError("a node leads nowhere, asks for no column, or gives no number", "trees")


def warm_up() -> None:
    """Compile the kernels, or read numba's cache. Called at install, so that no live process waits."""
    node = np.array([(0.0, 0, kernel.LEAF)], kernel.NODE)
    ensemble = TreeEnsemble(XGBOOST, ("x",), node, 1, 0.0)
    ensemble.predict(np.array([[ensemble.predict_row(np.zeros(1))]]))
