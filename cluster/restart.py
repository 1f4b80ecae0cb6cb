"""Restarting a symbol where it stopped: newest usable checkpoint, then the log from there on.

Called in a thread when an actor starts. Nothing is lost that had been acknowledged: the state is that of
an actor that was never interrupted.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from cluster.checkpoint import Checkpoint
from cluster.event_order import EventOrder
from cluster.storage import segments
from cluster.storage.frames import Header, NoteFrame, OutputFrame, TickFrame
from cluster.storage.segments import Recovery
from features.engine import EngineSpec, Step, SymbolEngine
from features.errors import DataError, SnapshotError, SpecError
from features.model_slots import Shelf
from features.ticks import NO_ID, Kind, Ticks

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Restored:
    """Where a symbol goes on."""

    engine: SymbolEngine
    order: EventOrder
    answers: bytes | None
    """The answers of the checkpoint; None without one."""
    next_sequence: int
    fresh: bool
    """The engine begins anew at `next_sequence`."""
    steps: list[Step] = field(default_factory=list)
    """What the replayed ticks have brought, oldest first; only the newest that made bars."""
    unlogged: list[tuple[int, Step]] = field(default_factory=list)
    """Outputs that the killed process had not come to write."""
    replayed: int = 0
    """Ticks that were replayed from the log."""
    received_ns: int = 0
    """When the newest of them had been received."""
    problems: list[str] = field(default_factory=list)


def restore(
    recovery: Recovery, spec: EngineSpec, new_order: Callable[[], EventOrder], shelf: Shelf | None = None
) -> Restored:
    """The state at the end of the log, or a new one where there is none.

    A checkpoint that is damaged, of a newer release or of other settings is passed over for the one
    before it; `problems` says so. Models come from the shelf, those in the checkpoint's slots and those of
    swaps in the ticks behind. Raises what it raises: going on without a model would be another state.
    """
    found = _restore(recovery, spec, new_order, shelf)
    found.order.resumed()
    return found


def _restore(
    recovery: Recovery, spec: EngineSpec, new_order: Callable[[], EventOrder], shelf: Shelf | None
) -> Restored:
    problems = list(recovery.problems)
    heads = _heads(recovery)
    born = max((head.epoch for head in heads if head.fresh), default=0)
    for one in recovery.checkpoints:
        if one.epoch < born:
            break  # of an engine before the one that lives now
        try:
            saved = Checkpoint.unpack(one.path.read_bytes())
            engine = SymbolEngine.restore(spec, saved.engine, shelf)
            order = new_order()
            order.restore(saved.order)
        except (SnapshotError, OSError) as error:
            problems.append(f"the checkpoint {one.path.name} can't be used: {error}")
            logger.warning("%s: %s", spec.symbol, problems[-1])
            continue
        found = Restored(engine, order, saved.answers, one.sequence, False, problems=problems)
        return _replay(recovery, found)
    return _without_checkpoint(recovery, heads, spec, new_order, problems, shelf)


def _without_checkpoint(
    recovery: Recovery,
    heads: list[Header],
    spec: EngineSpec,
    new_order: Callable[[], EventOrder],
    problems: list[str],
    shelf: Shelf | None,
) -> Restored:
    """The whole life of the engine if the log reaches back to its beginning, else a new engine."""
    found = Restored(SymbolEngine(spec, shelf), new_order(), None, 0, True, problems=problems)
    beginning = _beginning(heads, spec)
    if beginning is not None:
        found.fresh, found.next_sequence = False, beginning
        return _replay(recovery, found)
    if recovery.next_sequence:
        problems.append(f"the engine begins anew at tick {recovery.next_sequence}; no trade is lost")
        logger.warning("%s: %s", spec.symbol, problems[-1])
        _keep_order(recovery, found.order)
    found.next_sequence = recovery.next_sequence
    return found


def _heads(recovery: Recovery) -> list[Header]:
    """The heads of the segments that are left, oldest first."""
    found = []
    for path in recovery.segments:
        # One that is gone by now lies behind all checkpoints.
        with contextlib.suppress(DataError):
            found.append(segments.read_header(path))
    return found


def _beginning(heads: list[Header], spec: EngineSpec) -> int | None:
    """Where the engine of these settings began its life, if the log reaches back to there."""
    begun = max((head for head in heads if head.fresh), key=lambda head: head.epoch, default=None)
    if begun is None or heads[0].first_sequence > begun.epoch_sequence:
        return None
    with contextlib.suppress(SpecError):
        if all(EngineSpec.from_json(head.engine) == spec for head in heads if head.epoch >= begun.epoch):
            return begun.epoch_sequence
    return None


def _keep_order(recovery: Recovery, order: EventOrder) -> None:
    """What is known of the trades, from whatever is left of checkpoints and log."""
    sequence = 0
    for one in recovery.checkpoints:
        try:
            order.restore(Checkpoint.unpack(one.path.read_bytes()).order)
            sequence = one.sequence
            break
        except (SnapshotError, OSError):
            continue
    if not sequence and recovery.segments:
        sequence = segments.read_header(recovery.segments[0]).first_sequence
    with contextlib.suppress(DataError):
        for frame in segments.replay(recovery, sequence):
            if isinstance(frame, TickFrame):
                _resume(order, frame)
            elif isinstance(frame, NoteFrame):
                order.resume_notes(frame.notes)


def _replay(recovery: Recovery, found: Restored) -> Restored:
    try:
        for frame in segments.replay(recovery, found.next_sequence):
            if isinstance(frame, TickFrame):
                _replay_ticks(found, frame)
            elif isinstance(frame, NoteFrame):
                found.order.resume_notes(frame.notes)
            elif isinstance(frame, OutputFrame):
                found.unlogged = [one for one in found.unlogged if one[0] > frame.sequence]
    except DataError as error:
        # What can't be read can't be replayed: the stream goes on from what could be.
        if str(error) not in found.problems:
            found.problems.append(str(error))
        logger.warning("the log is replayed in part: %s", error)
    return found


def _replay_ticks(found: Restored, frame: TickFrame) -> None:
    step = found.engine.update(frame.ticks)
    _resume(found.order, frame)
    found.next_sequence = frame.sequence + len(frame.ticks)
    found.replayed += len(frame.ticks)
    found.received_ns = int(frame.ticks.received_ns[-1]) if len(frame.ticks) else found.received_ns
    if len(step.bars):
        found.steps = [step]
        found.unlogged.append((found.next_sequence - 1, step))


def _resume(order: EventOrder, frame: TickFrame) -> None:
    """Let the order go on after a batch; one that came from the lake carries no counters."""
    order.resume(frame.counters if any(frame.counters) else _counted(order.counters(), frame.ticks))


def _counted(counters: tuple[int, ...], ticks: Ticks) -> tuple[int, ...]:
    """The counters of an order after these ticks were fed on, by what the ticks themselves say."""
    first_id, last_id, newest_ns, seen, *others = counters
    trades = ticks[ticks.kind == Kind.TRADE]
    if not len(trades):
        return counters
    ids = trades.trade_id[trades.trade_id != NO_ID].tolist()
    if ids:
        first_id = ids[0] if first_id == NO_ID else first_id
        last_id = max(last_id, *ids)
    return (first_id, last_id, max(newest_ns, int(trades.ts_ns.max())), seen + len(trades), *others)
