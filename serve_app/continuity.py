"""What `/v1/continuity` answers: what was seen of a symbol's trades, what is missing, how it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from serve_app.errors import RECOVERING, Recovering
from serve_app.schemas import Answer

MOST_GAPS = 100
_RETRY_AFTER_S = 1.0
_COUNTED = (
    "seen",
    "duplicates",
    "overlapped",
    "reordered",
    "before_start",
    "other_symbols",
    "ids_restarted",
    "holes",
    "gaps_found",
    "gaps_filled",
    "gaps_given_up",
    "trades_filled",
    "trades_given_up",
    "trades_repaired",
    "missing",
    "open_gaps",
    "held",
    "worst_lateness_s",
    "recovering",
)
_STORED = ("epoch", "next_sequence", "replayed", "log_bytes", "problem", "problems")

Gap = Annotated[list[int], Field(min_length=2, max_length=2)]

_EXAMPLE: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "seen": 1841220,
    "duplicates": 3,
    "overlapped": 412,
    "reordered": 2,
    "before_start": 0,
    "other_symbols": 0,
    "ids_restarted": 0,
    "holes": 9,
    "gaps_found": 8,
    "gaps_filled": 7,
    "gaps_given_up": 1,
    "trades_filled": 5310,
    "trades_given_up": 41,
    "trades_repaired": 38,
    "missing": 3,
    "open_gaps": [[4521871201, 4521871203]],
    "held": 0,
    "worst_lateness_s": 1.82,
    "recovering": "",
    "first_id": 4520146525,
    "last_id": 4521987745,
    "storage": {
        "epoch": 1769896800123,
        "next_sequence": 2630117,
        "replayed": 8120,
        "log_bytes": 5242880,
        "checkpoint_age_s": 4.2,
        "problem": "",
        "problems": [],
    },
}


class StorageAnswer(Answer):
    """How the symbol's ticks are stored where its actor runs."""

    epoch: int = Field(description="Number of the actor that writes; higher than that of any before it.")
    next_sequence: int = Field(description="Ticks ever written to the tick log; the number of the next one.")
    replayed: int = Field(description="Ticks that the actor replayed from the log when it started.")
    log_bytes: int = Field(description="Bytes of the tick log that are not in the lake yet.")
    checkpoint_age_s: float | None = Field(
        description="Seconds since the actor last saved its state; null before it has. "
        "Goes on counting while no tick comes: there is nothing to save then."
    )
    problem: str = Field(description="What keeps ticks from being stored now; empty when nothing does.")
    problems: list[str] = Field(description="What was found damaged when the actor started.")


class ContinuityAnswer(Answer):
    """What was seen of a symbol's trades and what is missing.

    The counts go on over restarts. A hole is a jump of the trade ids, which may close by itself; a gap is one
    for which the venue's REST endpoint had to be asked.
    """

    symbol: str
    seen: int = Field(description="Different trades taken in or stored.")
    duplicates: int = Field(description="Trades dropped since one connection said them more than once.")
    overlapped: int = Field(
        description="Trades dropped since an earlier connection or REST had brought them; to be expected."
    )
    reordered: int = Field(description="Trades that came after a later one and were put in their place.")
    before_start: int = Field(description="Trades dropped since they are older than the first one ever seen.")
    other_symbols: int = Field(
        description="Trades and quotes of another symbol, dropped; since the actor's start."
    )
    ids_restarted: int = Field(description="Times that the venue began its trade ids anew.")
    holes: int = Field(description="Times that a trade id jumped.")
    gaps_found: int = Field(description="Gaps: those filled, those given up, and at most one open now.")
    gaps_filled: int = Field(description="Gaps of which every trade was taken in in its place.")
    gaps_given_up: int = Field(description="Gaps that could not be filled, or not whole.")
    trades_filled: int = Field(description="Trades that REST brought and that were taken in in their place.")
    trades_given_up: int = Field(description="Trades in gaps that were given up.")
    trades_repaired: int = Field(description="Of them, those that came later: stored, not learned from.")
    missing: int = Field(description="Trades that were given up and have not come since.")
    open_gaps: list[Gap] = Field(
        max_length=MOST_GAPS,
        description="Their ids as ranges [first, last], lowest first, at most 100. "
        "Empty for venues whose ids don't say what is missing.",
    )
    held: int = Field(description="Trades and quotes held back until a hole before them is closed.")
    worst_lateness_s: float | None = Field(
        description="How much later than the fastest trade of the last minute the slowest one came, since "
        "the actor's start, in seconds; null before the first."
    )
    recovering: str = Field(description="What is waited for, in words; empty when nothing is.")
    first_id: int | None = Field(
        description="Id of the first trade ever taken in; null before it, or where ids don't count up by one."
    )
    last_id: int | None = Field(description="Id of the newest trade taken in; null before the first.")
    storage: StorageAnswer
    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})


def read_continuity(symbol: str, answer: Mapping[str, Any], now_ns: int) -> dict[str, Any]:
    """A `ContinuityAnswer` as plain values, from what the actor answered to `continuity()`.

    Raises Recovering while the actor is restoring its state: it knows none of it then.
    """
    if "continuity" not in answer:
        raise Recovering(symbol, _RETRY_AFTER_S, "its state is being restored", RECOVERING)
    counted, stored = answer["continuity"], answer["storage"]
    return {
        "symbol": answer["symbol"],
        **{name: counted[name] for name in _COUNTED},
        "first_id": _known(counted["first_id"]),
        "last_id": _known(counted["last_id"]),
        "storage": {
            **{name: stored[name] for name in _STORED},
            "checkpoint_age_s": checkpoint_age_s(stored["checkpoint_ns"], now_ns),
        },
    }


def checkpoint_age_s(checkpoint_ns: int, now_ns: int) -> float | None:
    """Seconds since a checkpoint was written; None for time 0, which stands for none."""
    # Clocks of two machines differ a little; an age below 0 would only puzzle.
    return max(now_ns - checkpoint_ns, 0) / 1e9 if checkpoint_ns else None


def _known(trade_id: int) -> int | None:
    # Trade ids are never negative; actors write -1 for one that isn't known.
    return trade_id if trade_id >= 0 else None
