"""What the registry points at, looked at every few seconds on behalf of all symbols."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from cluster.errors import StoreError
from cluster.registry import Pointer, Registry, pointer_folder
from features.errors import TickcastError


class PointerWatch:
    """The newest pointer of every watched symbol. One listing a look; only what is new is read."""

    def __init__(self, open_registry: Callable[[], Registry], venue: str) -> None:
        """`open_registry` is called at the first look, in a thread."""
        self._open = open_registry
        self._registry: Registry | None = None
        self._venue = venue
        self.pointers: dict[str, Pointer] = {}
        """By symbol; those about which nothing was said are not in it."""
        self.problems: dict[str, str] = {}
        """Why it is not known what a symbol is to have; "" stands for all."""

    async def look(self, symbols: Iterable[str]) -> None:
        """Look once. What can't be read leaves everything as it was, and `problems` says so."""
        await asyncio.to_thread(self._look, list(symbols))

    def report(self) -> dict[str, Any]:
        """How the looking goes."""
        return {"problems": self.problems}

    def _look(self, symbols: list[str]) -> None:
        problems = {}
        try:
            if self._registry is None:
                self._registry = self._open()
            newest = self._registry.newest()
        except StoreError as error:
            self.problems = {"": str(error)}
            return
        for symbol in symbols:
            number = newest.get(pointer_folder(self._venue, symbol), 0)
            known = self.pointers.get(symbol)
            if not number or (known is not None and known.number >= number):
                continue
            try:
                self.pointers[symbol] = self._registry.pointer(self._venue, symbol)
            except TickcastError as error:
                problems[symbol] = str(error)
        self.problems = problems
