"""Labels as delayed questions.

A forecast made at the close of a bar is a question: what will the reference price be when the horizon
has passed? Questions wait in a queue until then. The answer is the reference price of the last bar
that ends at or before the due time, and it is known once a bar that ends at or after it has closed.
A session that ends before that voids the question: nothing is scored and nothing is learned.

The same queue runs live and in backtests, so no learner ever sees an answer from the future.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features import state


class Closed(NamedTuple):
    """What of a closed bar answers questions."""

    end_ns: int
    session: int
    reference: float


def log_return(before: float, after: float) -> float:
    """Log of after over before; NaN where one of them is no price."""
    ratio = after / before if before > 0.0 else math.nan
    return math.log(ratio) if 0.0 < ratio < math.inf else math.nan


class Question(NamedTuple):
    """A question that has come due. `outcome` is the log return since it was asked, NaN when void."""

    made_at_ns: int
    due_ns: int
    price: float
    outcome: float
    note: NDArray[np.float64]
    """What the asker wrote down when asking."""


class QuestionQueue:
    """Questions of one horizon in the order they were asked, each with a note of fixed width.

    Memory is a ring that grows with the number of questions open at once and never shrinks.
    """

    def __init__(self, width: int, room: int = 16) -> None:
        self._times = np.zeros((room, 3), np.int64)
        self._rows = np.zeros((room, 1 + width))
        self._head = 0
        self._count = 0
        self._before: Closed | None = None

    def __len__(self) -> int:
        return self._count

    def ask(self, bar: Closed, due_ns: int, note: NDArray[np.float64]) -> None:
        """Remember a question asked at the close of `bar`; `note` is copied."""
        room = len(self._times)
        if self._count == room:
            order = (self._head + np.arange(room)) % room
            self._times = np.concatenate([self._times[order], np.zeros_like(self._times)])
            self._rows = np.concatenate([self._rows[order], np.zeros_like(self._rows)])
            self._head, room = 0, 2 * room
        at = (self._head + self._count) % room
        self._times[at] = bar.end_ns, due_ns, bar.session
        self._rows[at, 0] = bar.reference
        self._rows[at, 1:] = note
        self._count += 1

    def answer(self, bar: Closed) -> list[Question]:
        """The questions that this newly closed bar answers or voids, oldest first.

        Call it once for every bar, before asking anything at it.
        """
        done: list[Question] = []
        before = self._before
        while self._count:
            made_at, due, session = self._times[self._head].tolist()
            if session == bar.session:
                if due > bar.end_ns:
                    break
                reference = bar.reference if due == bar.end_ns or before is None else before.reference
            else:
                reference = math.nan
            price = float(self._rows[self._head, 0])
            outcome = log_return(price, reference)
            done.append(Question(made_at, due, price, outcome, self._rows[self._head, 1:].copy()))
            self._head = (self._head + 1) % len(self._times)
            self._count -= 1
        self._before = bar
        return done

    def open(self) -> tuple[NDArray[np.int64], NDArray[np.float64], Closed | None]:
        """The open questions, oldest first, as copies, and the newest bar.

        Rows of (made at, due, session), shape (n, 3), and of (price, note …), shape (n, 1 + width).
        """
        order = (self._head + np.arange(self._count)) % len(self._times)
        return self._times[order], self._rows[order], self._before

    def replace(self, times: NDArray[np.int64], rows: NDArray[np.float64], before: Closed | None) -> None:
        """Take over open questions and the newest bar, as `open` gives them."""
        room = max(16, 1 << (len(times) - 1).bit_length() if len(times) else 0)
        self._times = np.zeros((room, 3), np.int64)
        self._rows = np.zeros((room, rows.shape[1]))
        self._times[: len(times)], self._rows[: len(times)] = times, rows
        self._count, self._head, self._before = len(times), 0, before

    def snapshot(self) -> bytes:
        """The open questions, oldest first, and the last bar."""
        times, rows, newest = self.open()
        before = [newest] if newest else []
        return state.pack_arrays(
            times=times,
            rows=rows,
            before=np.array([(bar.end_ns, bar.session) for bar in before], np.int64),
            reference=np.array([bar.reference for bar in before]),
        )

    def load(self, data: bytes) -> None:
        """Take over what `snapshot` gave. Notes that were shorter then are filled up with zeros."""
        arrays = state.unpack_arrays(data)
        self._count, self._head = len(arrays["times"]), 0
        room = max(16, 1 << (self._count - 1).bit_length() if self._count else 0)
        self._times = np.zeros((room, 3), np.int64)
        self._rows = np.zeros((room, self._rows.shape[1]))
        self._times[: self._count] = arrays["times"]
        self._rows[: self._count, : arrays["rows"].shape[1]] = arrays["rows"]
        self._before = None
        if len(arrays["before"]):
            (end_ns, session), reference = arrays["before"][0].tolist(), float(arrays["reference"][0])
            self._before = Closed(end_ns, session, reference)

    def digest(self) -> str:
        """Hash of the state, whatever room the ring has."""
        return state.digest(self.snapshot())
