"""Keeps the models in one engine's slots those that the registry points at.

A model is fetched, checked and made ready in a thread, while the stream goes on; then it is swapped in
between two ticks. One that is damaged or does not fit is refused: the model before stays, `problems` says
why, and it is tried again now and then, as the fault may be the lake's. For one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from cluster.registry import RegistryShelf
from features.errors import TickcastError
from features.model_slots import ModelSlots, slot_name

_RETRY_S = 10.0


class ModelKeeper:
    """Brings models from the registry into the slots of one engine."""

    def __init__(
        self,
        shelf: RegistryShelf,
        slots: Callable[[], ModelSlots],
        swap: Callable[[int, int], bool],
        retry_s: float = _RETRY_S,
    ) -> None:
        """`slots` are the engine's; `swap(slot, version)` puts in what is on the shelf, or says "not now"."""
        self._shelf = shelf
        self._slots = slots
        self._swap = swap
        self._retry_s = retry_s
        self._wanted: dict[int, int] = {}
        self._called = asyncio.Event()
        self.number = 0
        """Number of the pointer that is followed."""
        self.problems: dict[str, str] = {}
        """Why a slot does not hold what it should, by its name."""

    def follow(self, number: int, wanted: Mapping[int, int]) -> None:
        """From now on the slots are to hold these versions, and the others nothing."""
        self.number, self._wanted = number, dict(wanted)
        self._called.set()

    async def run(self) -> None:
        """Swap as told, until cancelled. Called once the engine has its state."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._called.wait(), self._retry_s if self.problems else None)
            self._called.clear()
            if self.number:
                await self.settle()

    async def settle(self) -> None:
        """Try to make every slot hold what it should. The champion's comes first: it may be a challenger."""
        wanted, problems = self._wanted, {}
        for slot in sorted({one.number for one in self._slots().slots} | wanted.keys()):
            try:
                problem = await self._bring(slot, wanted.get(slot, 0))
            except TickcastError as error:
                problem = str(error)
            if problem:
                problems[slot_name(slot)] = problem
        self.problems = problems
        self._shelf.keep(set(wanted.values()) | set(self._slots().versions.values()))

    def report(self) -> dict[str, Any]:
        """What is in the slots, what should be, and why not."""
        return {
            "slots": self._slots().versions,
            "wanted": {slot_name(slot): version for slot, version in sorted(self._wanted.items())},
            "pointer": self.number,
            "problems": self.problems,
        }

    async def _bring(self, slot: int, version: int) -> str:
        """Put a version into a slot; what is in the way, if anything is."""
        if self._slots().version(slot) == version:
            return ""
        if version:
            await asyncio.to_thread(self._shelf.get, version)
        return "" if self._swap(slot, version) else "its swap can't be logged now"
