"""What a challenger has shown: on the live ledger, or on a period of the lake that is scored anew.

The live ledger is read from the newest checkpoint in the lake: an actor's state as of a minute ago or
two. That needs no connection to the actors, so it is the same wherever the command runs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from cluster.checkpoint import Checkpoint
from cluster.registry import Registry, RegistryShelf
from cluster.storage.lake import Lake
from features import durations
from features.engine import EngineSpec, SymbolEngine
from features.errors import ConfigError, DataError
from features.model_slots import Duel, Model, slot_name
from features.ticks import Kind
from jobs.history.reader import History
from jobs.history.spec import STREAM, HistorySpec
from jobs.promotion.gate import GateSpec, Judgement, judge

_CHAMPION, _CANDIDATE = 0, 1


def live_spec(lake: Lake, venue: str, symbol: str) -> EngineSpec | None:
    """The settings of the newest actor of a symbol; None where none has run."""
    records = lake.epochs(venue, symbol)
    return EngineSpec.from_json(json.dumps(records[-1].engine)) if records else None


@dataclass(frozen=True, slots=True)
class LiveState:
    """An actor's engine as of its newest checkpoint in the lake."""

    engine: SymbolEngine
    sequence: int
    """Ticks that it has seen."""

    @property
    def versions(self) -> dict[str, int]:
        """Version by name of the slot."""
        return self.engine.models.versions


def live_state(lake: Lake, venue: str, symbol: str) -> LiveState | None:
    """The newest state of a symbol's actor that is in the lake; None where there is none."""
    spec = live_spec(lake, venue, symbol)
    found = lake.checkpoints(venue, symbol)
    if spec is None or not found:
        return None
    saved = Checkpoint.unpack(lake.get_checkpoint(found[0]))
    engine = SymbolEngine.restore(spec, saved.engine, RegistryShelf(lambda: Registry(lake.store)))
    return LiveState(engine, found[0].sequence)


def on_the_ledger(
    lake: Lake, venue: str, symbol: str, version: int, champion: int, gate: GateSpec
) -> Judgement:
    """Judge a version by its live duel with the champion of this version."""
    state = live_state(lake, venue, symbol)
    if state is None:
        reason = "no live ledger of this symbol is in the lake yet"
        return Judgement(False, reason, champion)
    evidence = f"the live ledger after {state.sequence:,} ticks"
    held = state.versions["champion"]
    if held != champion:
        reason = (
            f"the ledger is of a time when version {held} was the champion, not {champion}: try again later"
        )
        return Judgement(False, reason, champion, evidence=evidence)
    duels = [one for one in state.engine.duels() if one.version == version]
    if not duels:
        slots = ", ".join(f"{name} {held}" for name, held in state.versions.items())
        reason = f"version {version} is in no challenger's slot ({slots}): put it there with --shadow"
        return Judgement(False, reason, champion, evidence=evidence)
    return judge(_of_one_slot(duels), champion, gate, evidence)


def on_a_period(
    lake: Lake,
    registry: Registry,
    history: HistorySpec,
    spec: EngineSpec,
    version: int,
    champion: int,
    gate: GateSpec,
) -> Judgement:
    """Judge a version by asking it and the champion all questions of a period of the lake anew.

    `history` names one venue and symbol. Scales begin anew with the period, so numbers differ a little from
    those of the live ledger.
    """
    assert history.venue is not None, "one venue and symbol"
    (symbol,) = history.symbols
    interval = spec.bars.interval_ns
    if history.interval_ns and history.interval_ns != interval:
        raise ConfigError(
            f"its bars are those of {durations.text(interval) if interval else spec.bars.kind}",
            "--source",
            "use candles of that length, trades or stream",
        )
    engine = SymbolEngine(replace(spec, models=("naive",), challengers=1))
    if champion:
        engine.swap(_CHAMPION, champion, registry.load(champion))
    engine.swap(_CANDIDATE, version, registry.load(version))
    seen = _feed(engine, History(lake, history), history.venue, symbol, bool(history.interval_ns))
    return judge(engine.duels(), champion, gate, f"{seen:,} {history.source} of the period, scored anew")


def check_fits(spec: EngineSpec, model: Model) -> None:
    """Raise ModelRefused unless an engine of these settings can take the model."""
    SymbolEngine(spec).models.check(_CHAMPION, model)


def _feed(engine: SymbolEngine, history: History, venue: str, symbol: str, is_bars: bool) -> int:
    seen = 0
    if is_bars:
        for bars in history.bars(venue, symbol):
            seen += len(bars)
            engine.update_bars(bars)
        return seen
    for ticks in history.ticks(venue, symbol):
        seen += len(ticks)
        # The swaps of that time are not what is asked about.
        engine.update(ticks[ticks.kind != Kind.SWAP] if history.spec.source == STREAM else ticks)
    return seen


def _of_one_slot(duels: list[Duel]) -> list[Duel]:
    """A version may be in two challengers' slots: the one with more answers counts."""
    slots = {one.score.model for one in duels}
    most = max(slots, key=lambda name: sum(one.score.count for one in duels if one.score.model == name))
    return [one for one in duels if one.score.model == most]


def challenger_of(slots: dict[int, int]) -> int:
    """The version in the first challenger's slot that holds one. Raises DataError."""
    for slot in sorted(slots):
        if slot:
            return slots[slot]
    raise DataError(f"there is no {slot_name(1)}", "--version", "name a version, or put one into shadow")
