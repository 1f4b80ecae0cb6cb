"""The agent of a machine: one beside the symbol actors of each node.

It takes their closed log segments to the lake, brings a symbol's state from the lake when the symbol moves
here, and ends the process of an actor that hangs so badly that Ray can't. It keeps no state of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import ray

from cluster import names
from cluster.config import on_this_machine
from cluster.errors import StoreUnreachable
from cluster.storage.store_spec import StoreSpec

logger = logging.getLogger(__name__)
_BRING_LIMIT_S = 600.0
_AGENT_LIMIT_S = 30.0
_LOOK_AGAIN_S = 0.2
_END_GRACE_S = 2.0


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What an agent needs to know."""

    lake: StoreSpec
    log_root: str
    every_s: float
    """How often it looks for closed segments."""
    retry_max_s: float
    """The longest pause before a lake that failed is tried again."""


class NodeAgent:
    """Archives, restores and ends processes on one node. A plain class; the supervisor wraps it."""

    def __init__(self, settings: AgentSettings) -> None:
        """Called by Ray on the actor's event loop; begins to archive by itself."""
        # Imported here: pyarrow is large, and only this process needs it.
        from cluster.storage.archiver import Archiver
        from cluster.storage.lake import Lake
        from cluster.storage.objects import open_store

        self._settings = settings
        store = open_store(settings.lake)
        self._lake = Lake(store)
        self._store = store
        self._archiver = Archiver(on_this_machine(settings.log_root), self._lake, time.time_ns)
        self._round = asyncio.Lock()
        self._archiving = asyncio.create_task(self._archive())

    async def bring(self, venue: str, symbol: str, folder: str, last_epoch: int) -> int:
        """Bring the newest state of a symbol from the lake into its log folder, if the lake's is newer.

        Returns the number of ticks brought. Raises StoreError when the lake can't be asked.
        """
        from cluster.storage.from_lake import bring

        return await asyncio.to_thread(bring, self._lake, venue, symbol, Path(folder), last_epoch)

    async def end_process(self, pid: int, started_s: float) -> bool:
        """Kill a process of this node that does not end within a moment, if it is the one started then."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if abs(process.create_time() - started_s) > 60.0 or "ray::" not in " ".join(process.cmdline()):
                return False
            gone, _ = await asyncio.to_thread(psutil.wait_procs, [process], _END_GRACE_S)
            if not gone:
                process.kill()
                return True
        return False

    async def flush(self) -> str:
        """Take to the lake all that is closed now; the problem if that fails, else empty."""
        await self._run_round()
        return self._archiver.state.problem

    async def status(self) -> dict[str, Any]:
        """How the archiving goes."""
        return {"lake": self._store.uri, **asdict(self._archiver.state)}

    async def _archive(self) -> None:
        pause_s = self._settings.every_s
        while True:
            await asyncio.sleep(pause_s)
            await self._run_round()
            failing = self._archiver.state.problem
            pause_s = min(2 * pause_s, self._settings.retry_max_s) if failing else self._settings.every_s

    async def _run_round(self) -> None:
        async with self._round:
            try:
                await asyncio.to_thread(self._archiver.run_once)
            except Exception as error:
                # A fault of ours must be seen, and must not end the archiving of all other symbols.
                logger.exception("archiving failed")
                self._archiver.state.problem = f"{type(error).__name__}: {error}"


def agent_class() -> Any:
    """`NodeAgent` as a Ray actor: detached, restarted for ever, without a CPU slot."""
    return ray.remote(
        num_cpus=0,
        lifetime="detached",
        namespace=names.NAMESPACE,
        max_restarts=-1,
        enable_task_events=False,
    )(NodeAgent)


async def bring(node: str, venue: str, symbol: str, folder: str, last_epoch: int) -> None:
    """Have the agent of a node bring a symbol's newest state from the lake.

    Called by a symbol's actor at its start. Waits for the agent to come up. Raises StoreUnreachable when
    there is none in time, and what `NodeAgent.bring` raises.
    """
    deadline = time.monotonic() + _AGENT_LIMIT_S
    while True:
        try:
            agent = await asyncio.to_thread(ray.get_actor, names.node_agent(node), names.NAMESPACE)
            await asyncio.wait_for(agent.bring.remote(venue, symbol, folder, last_epoch), _BRING_LIMIT_S)
            return
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None  # the text of the wrapper holds the whole remote traceback
        except (ValueError, ray.exceptions.RayError) as error:
            if time.monotonic() > deadline:
                raise StoreUnreachable(
                    f"the agent of this node does not answer: {error}", f"node {node}", "it is started again"
                ) from None
        await asyncio.sleep(_LOOK_AGAIN_S)
