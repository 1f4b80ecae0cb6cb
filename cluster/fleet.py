"""The nodes of the cluster, as the supervisor sees them: one agent on each that is alive."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster import names, placement
from cluster.node_agent import AgentSettings, agent_class
from cluster.placement import Node

_ANSWER_LIMIT_S = 2.0
_FLUSH_LIMIT_S = 60.0
logger = logging.getLogger(__name__)


class Fleet:
    """Keeps an agent on every node, and knows where there is room."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self._agents: dict[str, ActorHandle] = {}
        self._nodes: list[Node] = placement.alive(ray.nodes())
        self._arrange()

    async def look(self) -> None:
        """See which nodes are alive: a new one gets an agent, that of a dead one is given up."""
        with contextlib.suppress(RayError):
            # Asks Ray's control store, which may be away for a while.
            self._nodes = placement.alive(await asyncio.to_thread(ray.nodes))
            self._arrange()

    def choose(self, placed: Iterable[str], before: str) -> str | None:
        """The node for one more symbol."""
        return placement.choose(self._nodes, [node for node in placed if node], before)

    async def end_process(self, node: str, pid: int, started_ns: int) -> None:
        """Kill a process on a node, in case Ray could not."""
        agent = self._agents.get(node)
        if agent is not None:
            with contextlib.suppress(TimeoutError, RayError):
                await asyncio.wait_for(agent.end_process.remote(pid, started_ns / 1e9), _ANSWER_LIMIT_S)

    async def status(self) -> dict[str, Any]:
        """What every agent says; an error text for one that says nothing."""
        agents = dict(self._agents)
        said = await asyncio.gather(*(_ask(agent) for agent in agents.values()))
        return dict(zip(agents, said, strict=True))

    async def flush(self, node: str) -> None:
        """Have all that is closed on a node taken to the lake now."""
        agent = self._agents.get(node)
        if agent is None:
            return
        with contextlib.suppress(TimeoutError, RayError):
            problem = await asyncio.wait_for(agent.flush.remote(), _FLUSH_LIMIT_S)
            if problem:
                logger.warning("not all is in the lake, the rest waits on disk: %s", problem)

    async def stop(self) -> None:
        """Take all that is closed to the lake, then end the agents."""
        await asyncio.gather(*(self.flush(node) for node in self._agents))
        for agent in self._agents.values():
            ray.kill(agent)
        self._agents = {}

    def _arrange(self) -> None:
        alive = {node.id for node in self._nodes}
        for node in alive - self._agents.keys():
            options = {
                "name": names.node_agent(node),
                "get_if_exists": True,
                "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False),
            }
            self._agents[node] = agent_class().options(**options).remote(self._settings)
        for node in self._agents.keys() - alive:
            with contextlib.suppress(RayError):
                ray.kill(self._agents.pop(node))


async def _ask(agent: ActorHandle) -> dict[str, Any]:
    try:
        said: dict[str, Any] = await asyncio.wait_for(agent.status.remote(), _ANSWER_LIMIT_S)
        return said
    except (TimeoutError, RayError) as error:
        return {"problem": f"its agent does not answer: {type(error).__name__}"}
