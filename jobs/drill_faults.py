"""The hand that carries the faults of a drill out: against processes, the exchange and the store.

It knows the cluster only by what it is handed: the pids of processes, the exchange's address, a store
that can be stopped. It ends no process that it was not given, and returns once a fault has had its
effect, with a record to compare the reports of the cluster with.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import httpx
import psutil

from cluster.exchange.faults import FaultKind, FaultSpec
from cluster.run_state import Process
from features.errors import ConfigError, TickcastError
from jobs.drill_plan import DrillKind, PlannedFault

_LIMIT_S = 60.0
_LOOK_EVERY_S = 0.05
_Answer = TypeVar("_Answer")


class Victims(Protocol):
    """Who may be killed. The pids are asked for again until one is alive: actors come back."""

    def pid_of(self, symbol: str) -> int | None:
        """The process of the symbol's actor; None while there is none."""
        ...

    def supervisor_pid(self) -> int | None:
        """The process of the supervisor; None while there is none."""
        ...


class DrilledExchange(Protocol):
    """A local exchange that can be restarted, such as `cluster.exchange_process.RestartableExchange`."""

    @property
    def pid(self) -> int: ...

    @property
    def rest_url(self) -> str: ...

    def restart(self, away_s: float) -> dict[str, Any]:
        """Kill it, wait, start it again; gives its last state before that."""
        ...


class StoppableStore(Protocol):
    """An object store's server."""

    def stop(self) -> None: ...

    def start(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that has been carried out.

    `when_ns` is the wall-clock time at which it was ordered. `trade_ids` are the trades that it acted on.
    `detail`: for kills `pid`; for a cut `last_id`, the newest trade published by then; for the exchange
    `pid`, `new_pid`, `faults` (all that its ledger held) and `last_ids` by symbol, both as of its end; for
    the store `seconds`.
    """

    kind: DrillKind
    symbol: str
    when_ns: int
    trade_ids: tuple[int, ...] = ()
    detail: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The record as JSON takes it."""
        return {**asdict(self), "kind": self.kind.value, "trade_ids": list(self.trade_ids)}


class FaultHand:
    """Carries planned faults out, one after the other.

    `with FaultHand(...) as hand`, then `hand.carry_out(fault)` for each and `hand.finish()`. Only the
    store's absence outlasts `carry_out`; leaving the block brings the store back, at once after an
    error. Nothing is waited for longer than `limit_s`.
    """

    def __init__(
        self,
        victims: Victims,
        exchange: DrilledExchange,
        store: StoppableStore | None,
        limit_s: float = _LIMIT_S,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._victims = victims
        self._exchange = exchange
        self._store = store
        self._limit_s = limit_s
        self._sleep = sleep
        self._clock = clock
        self._wall_ns = wall_ns
        self._http = httpx.Client()
        self._thread = ThreadPoolExecutor(1)
        self._hurry = threading.Event()
        self._store_back: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._hurry.set()
        try:
            self.finish()
        finally:
            self._thread.shutdown()
            self._http.close()

    def finish(self) -> None:
        """Return once the store is back; raises what kept it from coming back."""
        back, self._store_back = self._store_back, None
        if back is not None:
            back.result()

    def carry_out(self, fault: PlannedFault) -> Injected:
        """Wait for the fault's pause, carry it out and return when it has had its effect.

        A fault of a symbol waits until somebody is subscribed to it, so that none goes unnoticed. Raises
        TickcastError when there is nobody to strike, or no effect, within the limit.
        """
        self._sleep(fault.pause_s)
        match fault.kind:
            case DrillKind.KILL_ACTOR:
                what = f"the actor of {fault.symbol}"
                return self._kill(fault, what, lambda: self._victims.pid_of(fault.symbol))
            case DrillKind.KILL_SUPERVISOR:
                return self._kill(fault, "the supervisor", self._victims.supervisor_pid)
            case DrillKind.CUT_SOCKET:
                return self._cut(fault)
            case DrillKind.STORE_DOWN:
                return self._stop_store(fault)
            case DrillKind.RESTART_EXCHANGE:
                return self._restart_exchange(fault)
            case _:
                return self._spoil(fault)

    def _kill(self, fault: PlannedFault, what: str, pid_now: Callable[[], int | None]) -> Injected:
        victim = self._until(f"live process of {what}", lambda: _alive(pid_now()))
        when_ns = self._wall_ns()
        # Its own end may come first; it is as dead then.
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(victim.pid).kill()
        self._until(f"end of {what}", lambda: victim.find() is None)
        return Injected(fault.kind, fault.symbol, when_ns, detail={"pid": victim.pid})

    def _cut(self, fault: PlannedFault) -> Injected:
        kind = FaultKind.DROP_CONNECTION
        before = _done(self._state(), kind, fault.symbol)["count"]

        def cut() -> Injected | None:
            symbol = self._state()["symbols"][fault.symbol]
            if not symbol["subscribers"]:
                return None
            when_ns = self._wall_ns()
            self._order(FaultSpec(kind, symbol=fault.symbol))
            # The connection may have gone since we looked: then none was cut, and we look for the next.
            if _done(self._state(), kind, fault.symbol)["count"] == before:
                return None
            return Injected(fault.kind, fault.symbol, when_ns, detail={"last_id": symbol["last_id"]})

        return self._until(f"connection for {fault.symbol}", cut)

    def _spoil(self, fault: PlannedFault) -> Injected:
        kind = FaultKind(fault.kind.value)
        state = self._until(f"connection for {fault.symbol}", lambda: self._subscribed(fault.symbol))
        wanted = _done(state, kind, fault.symbol)["count"] + fault.count
        when_ns = self._wall_ns()
        self._order(FaultSpec(kind, fault.count, fault.symbol))

        def trade_ids() -> tuple[int, ...] | None:
            state = self._state()
            done = _done(state, kind, fault.symbol)
            if done["count"] >= wanted and not _waits(state, kind, fault.symbol):
                return tuple(done["trade_ids"][-fault.count :])
            if state["finished"]:
                raise TickcastError(
                    f"the tape was over before {kind.value} had its trades",
                    f"fault on {fault.symbol}",
                    "play a longer tape",
                )
            return None

        ids = self._until(f"{kind.value} of {fault.count} trades of {fault.symbol}", trade_ids)
        return Injected(fault.kind, fault.symbol, when_ns, ids)

    def _stop_store(self, fault: PlannedFault) -> Injected:
        store = self._store
        if store is None:
            raise ConfigError(
                "this drill has no store that can be stopped", fix='plan it with store "folder"'
            )
        self.finish()

        def bring_back() -> None:
            self._hurry.wait(fault.seconds)
            store.start()

        when_ns = self._wall_ns()
        store.stop()
        self._store_back = self._thread.submit(bring_back)
        return Injected(fault.kind, "", when_ns, detail={"seconds": fault.seconds})

    def _restart_exchange(self, fault: PlannedFault) -> Injected:
        pid, when_ns = self._exchange.pid, self._wall_ns()
        before = self._exchange.restart(fault.seconds)
        detail = {
            "pid": pid,
            "new_pid": self._exchange.pid,
            "faults": before["faults"],
            "last_ids": {symbol: state["last_id"] for symbol, state in before["symbols"].items()},
        }
        return Injected(fault.kind, "", when_ns, detail=detail)

    def _until(self, what: str, look: Callable[[], _Answer | None]) -> _Answer:
        """The first true answer of `look`, asked again until the limit."""
        deadline = self._clock() + self._limit_s
        while True:
            if answer := look():
                return answer
            if self._clock() > deadline:
                raise TickcastError(
                    f"no {what} within {self._limit_s:g} s", "drill", "see the logs of the run"
                )
            self._sleep(_LOOK_EVERY_S)

    def _subscribed(self, symbol: str) -> dict[str, Any] | None:
        """The exchange's state if somebody gets the symbol."""
        state = self._state()
        return state if state["symbols"][symbol]["subscribers"] else None

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = self._ask("GET", "/tickcast/state").json()
        return state

    def _order(self, spec: FaultSpec) -> None:
        self._ask(
            "POST", "/tickcast/faults", {"kind": spec.kind.value, "count": spec.count, "symbol": spec.symbol}
        )

    def _ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        url = self._exchange.rest_url + path
        try:
            answer = self._http.request(method, url, json=body)
        except httpx.HTTPError as error:
            raise TickcastError(f"the exchange does not answer ({error})", url, "see its log") from None
        if answer.is_error:
            raise TickcastError(f"the exchange refused with {answer.status_code}: {answer.text}", url)
        return answer


def _alive(pid: int | None) -> Process | None:
    """The process of a pid; None when it has ended: who gave the pid may not have noticed yet."""
    if not pid:
        return None
    try:
        process = Process.of("victim", pid)
    except psutil.NoSuchProcess:
        return None
    return process if process.find() else None


def _done(state: dict[str, Any], kind: FaultKind, symbol: str) -> dict[str, Any]:
    """The ledger's entry for a kind and symbol."""
    found = [e for e in state["faults"] if e["kind"] == kind.value and e["symbol"] == symbol]
    return found[0] if found else {"count": 0, "trade_ids": []}


def _waits(state: dict[str, Any], kind: FaultKind, symbol: str) -> bool:
    """Whether the exchange has still to carry something of a kind out on a symbol."""
    return any(e["kind"] == kind.value and e["symbol"] == symbol for e in state["faults_waiting"])
