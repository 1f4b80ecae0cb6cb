"""The symbols as actors: the only file of the API that calls Ray actors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError, RayTaskError

from cluster import names
from serve_app.errors import Recovering, SupervisorUnreachable

RETRY_AFTER_S = 1.0
"""A restarting actor takes about this long."""


class SymbolDirectory(Protocol):
    """What the API needs of the cluster."""

    async def symbols(self) -> Mapping[str, Mapping[str, Any]]:
        """What the supervisor says of every watched symbol. Raises SupervisorUnreachable."""

    async def status(self) -> Mapping[str, Mapping[str, Any]]:
        """What every watched symbol's actor last said of itself, and its state as the supervisor judges it.

        Raises SupervisorUnreachable.
        """

    async def nodes(self) -> Mapping[str, Mapping[str, Any]]:
        """What the agent of every node says, by the node's id. Raises SupervisorUnreachable."""

    async def ask(self, symbol: str, method: str, *arguments: Any) -> Any:
        """Call a method of a symbol's actor. Raises Recovering when the actor can't answer now."""


class RayDirectory:
    """The cluster that this process is part of.

    Handles are kept: looking one up asks Ray's control store, which blocks for 0.2-2 ms, so that is done
    in a thread. A handle whose actor has died is looked up again once, since the supervisor may have
    created the actor anew under the same name. All calls are reads, so asking twice does no harm.
    """

    def __init__(self, answer_within_s: float, look_up: Callable[[str], Any] | None = None) -> None:
        self._answer_within_s = answer_within_s
        self._look_up = look_up or _actor
        self._handles: dict[str, Any] = {}

    async def symbols(self) -> Mapping[str, Mapping[str, Any]]:
        answer: Mapping[str, Mapping[str, Any]] = await self._ask_supervisor("symbols")
        return answer

    async def status(self) -> Mapping[str, Mapping[str, Any]]:
        answer: Mapping[str, Mapping[str, Any]] = await self._ask_supervisor("status")
        return answer

    async def nodes(self) -> Mapping[str, Mapping[str, Any]]:
        answer: Mapping[str, Mapping[str, Any]] = (await self._ask_supervisor("nodes"))["nodes"]
        return answer

    async def ask(self, symbol: str, method: str, *arguments: Any) -> Any:
        try:
            return await self._call(names.symbol_actor(symbol), method, arguments)
        except _NoAnswer as error:
            raise Recovering(symbol, RETRY_AFTER_S, str(error)) from error

    async def _ask_supervisor(self, method: str) -> Any:
        try:
            return await self._call(names.SUPERVISOR, method, ())
        except _NoAnswer as error:
            raise SupervisorUnreachable(RETRY_AFTER_S, str(error)) from error

    async def _call(self, name: str, method: str, arguments: tuple[Any, ...]) -> Any:
        try:
            async with asyncio.timeout(self._answer_within_s):
                try:
                    return await self._call_once(name, method, arguments)
                except ActorDiedError:
                    self._handles.pop(name, None)
                    return await self._call_once(name, method, arguments)
        except RayTaskError:
            # The actor is there and its method failed: waiting won't help.
            raise
        except TimeoutError as error:
            raise _NoAnswer(f"no answer within {self._answer_within_s:g} s") from error
        except ActorDiedError as error:
            self._handles.pop(name, None)
            raise _NoAnswer("its actor has died") from error
        except ActorUnavailableError as error:
            raise _NoAnswer("its actor is restarting") from error
        except RayError as error:
            raise _NoAnswer(f"Ray says {type(error).__name__}") from error

    async def _call_once(self, name: str, method: str, arguments: tuple[Any, ...]) -> Any:
        handle = self._handles.get(name)
        if handle is None:
            try:
                handle = await asyncio.to_thread(self._look_up, name)
            except ValueError as error:
                raise _NoAnswer("its actor is not there") from error
            self._handles[name] = handle
        return await getattr(handle, method).remote(*arguments)


class _NoAnswer(Exception):
    """An actor did not answer; the text says why."""


def _actor(name: str) -> Any:
    return ray.get_actor(name, namespace=names.NAMESPACE)
