"""Ray's errors and handles, with actors that are played."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, PendingCallsLimitExceeded, RayTaskError

from cluster import names
from serve_app.directory import RayDirectory
from serve_app.errors import Recovering, SupervisorUnreachable


class Actor:
    """A handle: every method answers what `play` returns or raises."""

    def __init__(self, play: Callable[[], Any]) -> None:
        self.play = play
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, method: str) -> Any:
        return Method(self, method)


class Method:
    def __init__(self, actor: Actor, name: str) -> None:
        self._actor, self._name = actor, name

    async def remote(self, *arguments: Any) -> Any:
        self._actor.calls.append((self._name, arguments))
        result = self._actor.play()
        if isinstance(result, BaseException):
            raise result
        return await result if asyncio.iscoroutine(result) else result


class Cluster:
    """Named actors, and how often each was looked up."""

    def __init__(self, **actors: Actor) -> None:
        self.actors = {name.replace("_", ":"): actor for name, actor in actors.items()}
        self.looked_up: list[str] = []

    def look_up(self, name: str) -> Any:
        self.looked_up.append(name)
        if name not in self.actors:
            raise ValueError(f"Failed to look up actor with name '{name}'")
        return self.actors[name]


def unavailable() -> Exception:
    return ActorUnavailableError("restarting", None)


async def test_a_handle_is_looked_up_once() -> None:
    actor = Actor(lambda: {"ready": True})
    cluster = Cluster(symbol_A=actor)
    directory = RayDirectory(1.0, cluster.look_up)
    for _ in range(3):
        assert await directory.ask("A", "forecasts") == {"ready": True}
    assert cluster.looked_up == [names.symbol_actor("A")]
    await directory.ask("A", "next_forecasts", 5, 1.0)
    assert actor.calls[-1] == ("next_forecasts", (5, 1.0))


async def test_a_dead_actor_is_looked_up_again_once_and_the_new_one_answers() -> None:
    cluster = Cluster(symbol_A=Actor(lambda: "old"))
    directory = RayDirectory(1.0, cluster.look_up)
    assert await directory.ask("A", "forecasts") == "old"
    cluster.actors["symbol:A"].play = ActorDiedError
    cluster.actors = {"symbol:A": Actor(lambda: "new")}
    # The directory still holds the old handle.
    assert await directory.ask("A", "forecasts") == "new"
    assert len(cluster.looked_up) == 2


async def test_an_actor_that_stays_dead_is_recovering_and_found_when_it_is_back() -> None:
    cluster = Cluster(symbol_A=Actor(ActorDiedError))
    directory = RayDirectory(1.0, cluster.look_up)
    with pytest.raises(Recovering, match="has died") as refused:
        await directory.ask("A", "forecasts")
    assert refused.value.symbol == "A"
    assert len(cluster.looked_up) == 2
    cluster.actors = {"symbol:A": Actor(lambda: "new")}
    assert await directory.ask("A", "forecasts") == "new"


@pytest.mark.parametrize("error", [unavailable(), PendingCallsLimitExceeded("full")])
async def test_an_actor_that_can_not_answer_is_recovering(error: Exception) -> None:
    cluster = Cluster(symbol_A=Actor(lambda: error))
    with pytest.raises(Recovering):
        await RayDirectory(1.0, cluster.look_up).ask("A", "forecasts")
    assert len(cluster.looked_up) == 1


async def test_an_actor_that_is_not_there_is_recovering() -> None:
    with pytest.raises(Recovering, match="not there"):
        await RayDirectory(1.0, Cluster().look_up).ask("A", "forecasts")


async def test_an_actor_that_says_nothing_is_recovering_after_the_limit() -> None:
    cluster = Cluster(symbol_A=Actor(lambda: asyncio.Event().wait()))
    with pytest.raises(Recovering, match=r"no answer within 0\.01 s"):
        await RayDirectory(0.01, cluster.look_up).ask("A", "forecasts")


@pytest.mark.parametrize("cause", [KeyError("x"), TimeoutError("x")])
async def test_a_fault_inside_the_actors_method_is_not_taken_for_recovery(cause: Exception) -> None:
    fault = RayTaskError("forecasts", "trace", cause).as_instanceof_cause()
    cluster = Cluster(symbol_A=Actor(lambda: fault))
    with pytest.raises(type(cause)):
        await RayDirectory(1.0, cluster.look_up).ask("A", "forecasts")


async def test_the_supervisor_is_unreachable_in_its_own_words() -> None:
    with pytest.raises(SupervisorUnreachable, match="not there"):
        await RayDirectory(1.0, Cluster().look_up).symbols()
    cluster = Cluster(supervisor=Actor(lambda: {"A": {"state": "live"}}))
    assert await RayDirectory(1.0, cluster.look_up).symbols() == {"A": {"state": "live"}}


async def test_the_supervisor_is_asked_what_it_knows_of_actors_and_nodes() -> None:
    supervisor = Actor(lambda: {"supervisor_pid": 1, "nodes": {"ab": {"waiting": 0}}})
    directory = RayDirectory(1.0, Cluster(supervisor=supervisor).look_up)
    assert await directory.nodes() == {"ab": {"waiting": 0}}
    supervisor.play = lambda: {"A": {"state": "live"}}
    assert await directory.status() == {"A": {"state": "live"}}
    assert supervisor.calls == [("nodes", ()), ("status", ())]
    supervisor.play = unavailable
    for ask in (directory.nodes, directory.status):
        with pytest.raises(SupervisorUnreachable, match="restarting"):
            await ask()
