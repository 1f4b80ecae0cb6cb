"""Metrics of the whole cluster in Prometheus' text format, made when they are asked for.

Nothing is counted here: the supervisor is asked what it knows, so every replica of the API tells the same
and one address is enough to scrape.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from serve_app.errors import SupervisorUnreachable
from serve_app.metric_series import Said, families
from serve_app.shared_calls import SharedCalls

if TYPE_CHECKING:
    from serve_app.directory import SymbolDirectory

FRESH_S = 1.0
"""So long an answer is told again: the supervisor asks the actors no more often itself."""


class Metrics:
    """The metrics of now. For one event loop."""

    def __init__(
        self, directory: SymbolDirectory, clock_ns: Callable[[], int], now_s: Callable[[], float]
    ) -> None:
        self._directory = directory
        self._clock_ns = clock_ns
        self._now_s = now_s
        self._calls: SharedCalls[bytes] = SharedCalls()
        self._text = b""
        self._fresh_until_s = -math.inf

    async def text(self) -> bytes:
        """All metrics, at most `FRESH_S` old. Raises SupervisorUnreachable.

        However many ask, the supervisor is asked once a second at most, and never twice at a time.
        """
        if self._now_s() < self._fresh_until_s:
            return self._text
        return await self._calls.join("metrics", self._make)

    async def _make(self) -> bytes:
        began_s = self._now_s()
        symbols, nodes = await asyncio.gather(self._directory.status(), self._nodes())
        # In a thread: a thousand symbols take longer than a forecast may wait.
        text = await asyncio.to_thread(_encode, ClusterCollector(symbols, nodes, self._clock_ns()))
        self._text, self._fresh_until_s = text, began_s + FRESH_S
        return text

    async def _nodes(self) -> Mapping[str, Said]:
        """What the agents say. A node that hangs delays the answer; what is known of symbols is told then."""
        try:
            return await self._directory.nodes()
        except SupervisorUnreachable:
            return {}


@dataclass(frozen=True, slots=True, eq=False)
class ClusterCollector:
    """What one scrape collects. The registry keeps it in a dict, so it is equal to itself alone."""

    symbols: Mapping[str, Said]
    nodes: Mapping[str, Said]
    now_ns: int

    def collect(self) -> Iterable[Metric]:
        """Called by the registry, once."""
        return families(self.symbols, self.nodes, self.now_ns)


def _encode(collector: Collector) -> bytes:
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry)
