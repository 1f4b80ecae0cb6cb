"""Names that processes find each other by."""

from __future__ import annotations

NAMESPACE = "tickcast"
"""Ray namespace of all our actors."""

SUPERVISOR = "supervisor"
"""Name of the one Supervisor."""

SERVE_APPLICATION = "tickcast"
"""Name of the Serve application."""


def symbol_actor(symbol: str) -> str:
    """Name of the actor of a symbol, as the Ray dashboard shows it."""
    return f"symbol:{symbol}"


def node_agent(node: str) -> str:
    """Name of the agent of a Ray node."""
    return f"agent:{node}"
