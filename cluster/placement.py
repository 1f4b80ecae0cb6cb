"""Which node a symbol's actor goes to. Pure: the caller asks Ray and carries the decision out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the Ray cluster that is alive."""

    id: str
    cpus: float
    """What it offers. A head that shall carry nothing offers none."""


def alive(nodes: Iterable[dict[str, object]]) -> list[Node]:
    """The nodes that are alive, from `ray.nodes()`."""
    found = []
    for one in nodes:
        resources = one.get("Resources")
        cpus = resources.get("CPU", 0.0) if isinstance(resources, dict) else 0.0
        if one.get("Alive"):
            found.append(Node(str(one["NodeID"]), float(cpus)))
    return found


def choose(nodes: list[Node], placed: Iterable[str], before: str = "") -> str | None:
    """The node for one more symbol: where it was before, else the one with fewest for its CPUs.

    `placed` has the node of every symbol that is placed. Nodes without CPUs carry symbols only where no
    other is. None without nodes.
    """
    working = [node for node in nodes if node.cpus > 0] or nodes
    if any(node.id == before for node in working):
        return before
    load = Counter(placed)
    best = min(working, key=lambda node: (load[node.id] / max(node.cpus, 1.0), node.id), default=None)
    return best.id if best else None
