"""The supervisor: which symbols are watched, and an actor alive for each.

One detached actor. It alone creates symbol actors, because Ray does not lock names. Every second it
asks each for its status, lets `policies.judge` decide, and carries the decision out.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError

from cluster import names
from cluster.config import Config
from cluster.policies import Action, Observation, Patience, SymbolState, Verdict, judge
from cluster.symbol_actor import SymbolActor, SymbolSettings
from features import durations
from features.errors import ConfigError, UnknownSymbol

_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 10.0


@dataclass(slots=True)
class _Watched:
    """One symbol under watch."""

    actor: ActorHandle
    since: float
    answered_at: float | None = None
    verdict: Verdict = field(default_factory=lambda: Verdict(SymbolState.STARTING, Action.LEAVE))
    status: dict[str, Any] = field(default_factory=dict)
    replaced: int = 0


class Supervisor:
    """Starts, watches and stops symbol actors. A plain class; `launch` wraps it for Ray."""

    def __init__(self, config: Config) -> None:
        """Called by Ray on the actor's event loop: starts the configured symbols and the watch."""
        self._config = config
        self._patience = Patience()
        self._watched: dict[str, _Watched] = {}
        for symbol in config.normalised_symbols():
            self._start(symbol)
        self._watch = asyncio.create_task(self._keep_watch())

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

    async def add(self, symbol: str) -> str:
        """Watch one more symbol. Returns its name as the venue writes it; no change if it is watched."""
        name = self._config.model_copy(update={"symbols": (symbol,)}).normalised_symbols()[0]
        if name not in self._watched:
            self._start(name)
        return name

    async def remove(self, symbol: str) -> None:
        """Watch a symbol no more: its connection is closed and its actor ended."""
        one = self._watched.pop(symbol, None)
        if one is None:
            raise UnknownSymbol(symbol, tuple(self._watched))
        await self._end(one.actor)

    async def stop(self) -> None:
        """End all symbol actors, each after a clean close of its connection."""
        self._watch.cancel()
        watched, self._watched = self._watched, {}
        await asyncio.gather(*(self._end(one.actor) for one in watched.values()))

    def settings(self, symbol: str) -> SymbolSettings:
        """What the actor of a symbol is told."""
        config = self._config
        delay = config.bars.heartbeat_delay
        return SymbolSettings(
            engine=config.engine_spec(symbol),
            venue=config.venue.name,
            venue_options=config.venue.all_options(),
            websocket_url=config.venue.websocket_url,
            feed=config.feed,
            heartbeat_delay_ns=None if delay is None else durations.parse_ns(delay, "bars.heartbeat_delay"),
        )

    def _start(self, symbol: str) -> None:
        actor = symbol_actor_class().options(name=names.symbol_actor(symbol)).remote(self.settings(symbol))
        before = self._watched.get(symbol)
        self._watched[symbol] = _Watched(actor, time.monotonic())
        if before is not None:
            self._watched[symbol].replaced = before.replaced + 1

    async def _keep_watch(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.gather(*(self._check(symbol) for symbol in list(self._watched)))
            left = self._config.supervision.check_every_s - (time.monotonic() - began)
            await asyncio.sleep(max(0.0, left))

    async def _check(self, symbol: str) -> None:
        one = self._watched[symbol]
        seen = await self._observe(one)
        if self._watched.get(symbol) is not one:
            return
        one.verdict = judge(seen, one.answered_at is not None, self._patience)
        if one.verdict.action is Action.REPLACE:
            ray.kill(one.actor)
            self._start(symbol)

    async def _observe(self, one: _Watched) -> Observation:
        limit = self._config.supervision.answer_within_s
        try:
            one.status = await asyncio.wait_for(one.actor.status.remote(), limit)
        except ActorUnavailableError:
            dead = False
        except ActorDiedError:
            dead = True
        except (TimeoutError, RayError):
            dead = False
        else:
            one.answered_at = time.monotonic()
            received = bool(one.status["received_ns"])
            return Observation(True, False, 0.0, one.status["feed"], received, one.status["failure"])
        silent_s = time.monotonic() - (one.answered_at or one.since)
        return Observation(False, dead, silent_s)

    async def _end(self, actor: ActorHandle) -> None:
        # What can't end by itself is ended all the same.
        with contextlib.suppress(TimeoutError, RayError):
            await asyncio.wait_for(actor.stop.remote(), _STOP_LIMIT_S)
        ray.kill(actor)


def symbol_actor_class() -> Any:
    """`SymbolActor` as a Ray actor: detached, restarted for ever, its status on a thread of its own.

    It takes no CPU slot: how many symbols a node carries is a question of memory, and jobs need the
    slots. It leaves no task events behind; there would be millions.
    """
    return ray.remote(
        num_cpus=0,
        lifetime="detached",
        namespace=names.NAMESPACE,
        max_restarts=-1,
        max_concurrency=1000,
        concurrency_groups={"control": 4},
        enable_task_events=False,
    )(SymbolActor)


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
            )
            .remote(config)
        )
    except ValueError:
        raise ConfigError(
            "this Ray cluster has a Tickcast supervisor already", "ray", "run down first"
        ) from None
    ray.get(supervisor.symbols.remote(), timeout=_START_LIMIT_S)
    return supervisor
