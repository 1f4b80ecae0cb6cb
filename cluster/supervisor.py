"""The supervisor: which symbols are watched, and an actor alive for each.

One detached actor. It alone creates symbol actors, because Ray does not lock names and knows no backoff:
an actor that dies is started again at once, one that keeps failing ever more slowly, and the others go on.
It hears of a death within milliseconds, since it waits on every actor; every second it asks each for its
status and lets `policies.judge` decide. Restarted itself, it takes over the actors that are alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Coroutine
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster import desired_state, names
from cluster.config import Config
from cluster.fleet import Fleet
from cluster.node_agent import AgentSettings
from cluster.pointer_watch import PointerWatch
from cluster.policies import Action, Observation, SymbolState, judge
from cluster.registry import Registry
from cluster.storage.objects import open_store
from cluster.symbol_actor import SymbolActor, SymbolSettings
from cluster.symbol_stream import StreamSettings
from cluster.watched import Watched
from features import durations
from features.errors import ConfigError, UnknownSymbol

_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 10.0
_LOOK_AGAIN_S = 0.5
_NAME_CHECK_S = 0.02
logger = logging.getLogger(__name__)


class Supervisor:
    """Starts, watches and stops symbol actors. A plain class; `start_supervisor` wraps it for Ray."""

    def __init__(self, config: Config) -> None:
        """Called by Ray on the actor's event loop, at the start and after every restart."""
        self._config = config
        self._patience = config.supervision.patience()
        storage = config.storage
        self._fleet = Fleet(
            AgentSettings(
                config.lake_spec(), config.log_root(), storage.archive_every_s, storage.archive_retry_max_s
            )
        )
        self._pointers = PointerWatch(lambda: Registry(open_store(config.lake_spec())), config.venue.name)
        self._state_file = config.in_place().run_dir / "supervisor.json"
        self._state = desired_state.load(self._state_file)
        self._watched: dict[str, Watched] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        symbols = list(config.normalised_symbols())
        if ray.get_runtime_context().was_current_actor_reconstructed and self._state.symbols:
            # What was added and removed since the start outlives us.
            symbols = self._state.symbols
        for symbol in symbols:
            self._watch_over(symbol)
        self._save()
        self._begin(self._keep_watch())
        self._begin(self._watch_pointers())

    async def symbols(self) -> dict[str, dict[str, Any]]:
        """Every watched symbol with its state; called by the API about once a second."""
        horizons = list(self._config.horizons)
        return {
            symbol: {
                "state": one.verdict.state.value,
                "reason": one.verdict.reason,
                "horizons": horizons,
                "venue": self._config.venue.name,
            }
            for symbol, one in self._watched.items()
        }

    async def status(self) -> dict[str, Any]:
        """What is known about every symbol's actor, as of the last check."""
        return {
            symbol: {
                "state": one.verdict.state.value,
                "reason": one.verdict.reason,
                "replaced": one.replaced,
                **one.status,
            }
            for symbol, one in self._watched.items()
        }

    async def nodes(self) -> dict[str, Any]:
        """How the agent of every node is doing, and who we are."""
        return {
            "supervisor_pid": os.getpid(),
            "nodes": await self._fleet.status(),
            "registry": self._pointers.report(),
        }

    async def add(self, symbol: str) -> str:
        """Watch one more symbol. Returns its name as the venue writes it; no change if it is watched."""
        name = self._config.model_copy(update={"symbols": (symbol,)}).normalised_symbols()[0]
        if name not in self._watched:
            self._watch_over(name)
            self._save()
        return name

    async def remove(self, symbol: str) -> None:
        """Watch a symbol no more: its connection is closed and its actor ended."""
        one = self._watched.pop(symbol, None)
        if one is None:
            raise UnknownSymbol(symbol, tuple(self._watched))
        self._save()
        await self._end(symbol, one)

    async def stop(self) -> None:
        """End all symbol actors, each after a clean close, and take what they wrote to the lake."""
        watched, self._watched = self._watched, {}
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(self._end(symbol, one) for symbol, one in watched.items()))
        await self._fleet.stop()

    def settings(self, symbol: str, epoch: int) -> SymbolSettings:
        """What the actor of a symbol is told."""
        config = self._config
        delay = config.bars.heartbeat_delay
        return SymbolSettings(
            stream=StreamSettings(
                engine=config.engine_spec(symbol),
                venue=config.venue.name,
                rest_url=config.venue.rest_url,
                gaps=config.gaps,
                log=config.storage.log,
                log_root=config.log_root(),
                epoch=epoch,
                last_home=self._state.of(symbol).home,
            ),
            venue_options=config.venue.all_options(),
            websocket_url=config.venue.websocket_url,
            feed=config.feed,
            heartbeat_delay_ns=None if delay is None else durations.parse_ns(delay, "bars.heartbeat_delay"),
            lake=config.lake_spec(),
        )

    def _watch_over(self, symbol: str) -> None:
        """Begin to watch a symbol: its actor is looked for, or started."""
        one = Watched(self._config.supervision.backoff(symbol))
        self._watched[symbol] = one
        self._begin(self._keep_alive(symbol, one))

    async def _keep_alive(self, symbol: str, one: Watched) -> None:
        """Have an actor for the symbol, and another when that one ends, for as long as it is watched."""
        while self._watched.get(symbol) is one:
            try:
                actor = await self._existing(symbol)
                one.started += actor is not None
                if self._watched.get(symbol) is one:
                    actor = actor or await self._start(symbol)
            except Exception:
                # Whatever it was, the symbol is not given up.
                logger.exception("%s can't be started now", symbol)
                actor = None
            if actor is None:
                await asyncio.sleep(_LOOK_AGAIN_S)
                continue
            one.begin(actor)
            if self._watched.get(symbol) is not one:
                await self._end(symbol, one)  # nobody wants it any more
                return
            why = await _end_of(actor)
            if self._watched.get(symbol) is not one:
                return
            one.lost(why)
            logger.warning("%s: %s", symbol, why)
            await asyncio.sleep(one.backoff.next_s())

    async def _existing(self, symbol: str) -> ActorHandle | None:
        """An actor of the symbol that is alive: we may be new, and it not."""
        with contextlib.suppress(ValueError, RayError):
            return await asyncio.to_thread(ray.get_actor, names.symbol_actor(symbol), names.NAMESPACE)
        return None

    async def _start(self, symbol: str) -> ActorHandle | None:
        """Start an actor on a node of its own choice; None when that can't be done now."""
        known = self._state.of(symbol)
        known.epoch = max(time.time_ns() // 1_000_000, known.epoch + 1)
        placed = [one.node for name, one in self._watched.items() if name != symbol]
        node = self._fleet.choose(placed, self._watched[symbol].node or known.node)
        if node is None:
            return None
        self._watched[symbol].node = node
        if known.node != node:
            # Until the new one is at home there, nobody knows where the newest log is.
            known.home, known.node = "", node
        self._save()
        options = {
            "name": names.symbol_actor(symbol),
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False),
        }
        try:
            actor = symbol_actor_class().options(**options).remote(self.settings(symbol, known.epoch))
        except (ValueError, RayError) as error:
            logger.warning("%s can't be started now: %s", symbol, error)
            return None
        self._watched[symbol].started += 1
        return actor

    async def _keep_watch(self) -> None:
        while True:
            began = time.monotonic()
            try:
                await self._fleet.look()
                await asyncio.gather(*(self._check(symbol) for symbol in list(self._watched)))
            except Exception:
                # Whatever it was, the watch goes on: nobody watches the watchman.
                logger.exception("a round of the watch failed")
            left = self._config.supervision.check_every_s - (time.monotonic() - began)
            await asyncio.sleep(max(0.0, left))

    async def _watch_pointers(self) -> None:
        """Look which models the symbols are to have; `_check` tells their actors."""
        while True:
            try:
                await self._pointers.look(self._watched)
            except Exception:
                # Whatever it was, we look again.
                logger.exception("the registry can't be looked at")
            await asyncio.sleep(self._config.registry.look_every_s)

    async def _check(self, symbol: str) -> None:
        one = self._watched.get(symbol)
        if one is None or one.actor is None:
            return
        actor = one.actor
        seen = await self._observe(one, actor)
        if self._watched.get(symbol) is not one or one.actor is not actor:
            return
        one.verdict = judge(seen, one.answered_at is not None, self._patience)
        self._remember(symbol, one)
        if one.verdict.state is SymbolState.LIVE:
            one.settle()
        await self._point(symbol, one, actor)
        if one.verdict.action is Action.REPLACE:
            logger.warning("%s is ended: %s", symbol, one.verdict.reason)
            await self._kill(one, actor)

    async def _observe(self, one: Watched, actor: ActorHandle) -> Observation:
        limit = self._config.supervision.answer_within_s
        try:
            one.status = await asyncio.wait_for(actor.status.remote(), limit)
        except (TimeoutError, RayError):
            return Observation(False, one.silent_s)
        one.answered_at = time.monotonic()
        status = one.status
        one.node = status["node"]
        return Observation(
            True,
            0.0,
            feed=status["feed"],
            connected=status["connected"],
            ever_received=bool(status["received_ns"]),
            failure=status["failure"],
            stuck_s=status["stuck_s"],
            trouble=status["trouble"],
            recovering=status["recovering"],
        )

    async def _point(self, symbol: str, one: Watched, actor: ActorHandle) -> None:
        """Tell an actor which models it is to have, if it has not heard of it."""
        pointer = self._pointers.pointers.get(symbol)
        if pointer is None or not one.status or one.status["models"]["pointer"] == pointer.number:
            return
        with contextlib.suppress(TimeoutError, RayError):
            told = actor.follow.remote(pointer.number, dict(pointer.slots))
            await asyncio.wait_for(told, self._config.supervision.answer_within_s)

    def _remember(self, symbol: str, one: Watched) -> None:
        known = self._state.of(symbol)
        home, epoch = one.status.get("home", known.home), one.status.get("epoch", known.epoch)
        if (home, epoch) != (known.home, known.epoch) and one.status.get("opened"):
            known.home, known.epoch = home, max(known.epoch, epoch)
            self._save()

    async def _kill(self, one: Watched, actor: ActorHandle) -> None:
        """End an actor for good, also one whose process does not even take a signal from Ray."""
        ray.kill(actor)
        if "pid" in one.status:
            await self._fleet.end_process(one.status["node"], one.status["pid"], one.status["started_ns"])

    async def _end(self, symbol: str, one: Watched) -> None:
        # What can't end by itself is ended all the same.
        actor = one.actor
        if actor is None:
            return
        with contextlib.suppress(TimeoutError, RayError):
            await asyncio.wait_for(actor.stop.remote(), _STOP_LIMIT_S)
        await self._kill(one, actor)
        with contextlib.suppress(TimeoutError):
            # Ray forgets the name a moment later; who watches the symbol again must not find the old one.
            async with asyncio.timeout(_STOP_LIMIT_S):
                while await self._existing(symbol) is not None:
                    await asyncio.sleep(_NAME_CHECK_S)
        # Watched again it may come to another node, which knows only what is in the lake.
        await self._fleet.flush(one.node)

    def _save(self) -> None:
        self._state.symbols = list(self._watched)
        desired_state.save(self._state_file, self._state)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _end_of(actor: ActorHandle) -> str:
    """Wait until an actor ends; why it did, in words."""
    while True:
        try:
            await actor.until_stopped.remote()
            return "its actor was stopped"
        except ActorUnavailableError:
            await asyncio.sleep(_LOOK_AGAIN_S)
        except ActorDiedError:
            return "its actor has died"
        except RayError as error:
            return f"its actor could not start: {error}".splitlines()[0]


def symbol_actor_class() -> Any:
    """`SymbolActor` as a Ray actor: detached, its status on a thread of its own.

    Ray never restarts it: the supervisor does, with an epoch of its own for each. It takes no CPU slot:
    how many symbols a node carries is a question of memory, and jobs need the slots. It leaves no task
    events behind; there would be millions.
    """
    return ray.remote(
        num_cpus=0,
        lifetime="detached",
        namespace=names.NAMESPACE,
        max_restarts=0,
        max_concurrency=1000,
        concurrency_groups={"control": 4},
        enable_task_events=False,
    )(SymbolActor)


def _head() -> str:
    """The node that this cluster began with."""
    nodes = ray.nodes()
    heads = [one["NodeID"] for one in nodes if "node:__internal_head__" in one.get("Resources", {})]
    return str((heads or [nodes[0]["NodeID"]])[0])


def start_supervisor(config: Config) -> ActorHandle:
    """Create the supervisor of this cluster and wait until it answers.

    Raises ConfigError when there is one already, and what its constructor raises.
    """
    try:
        supervisor = (
            ray.remote(Supervisor)
            .options(
                name=names.SUPERVISOR,
                namespace=names.NAMESPACE,
                lifetime="detached",
                num_cpus=0,
                max_restarts=-1,
                # Its memory of who was where is a file of this machine.
                scheduling_strategy=NodeAffinitySchedulingStrategy(_head(), soft=False),
            )
            .remote(config)
        )
    except ValueError:
        raise ConfigError(
            "this Ray cluster has a Tickcast supervisor already", "ray", "run down first"
        ) from None
    ray.get(supervisor.symbols.remote(), timeout=_START_LIMIT_S)
    return supervisor
