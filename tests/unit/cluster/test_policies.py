"""What is decided about an actor, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.policies import Action, Observation, Patience, SymbolState, judge

PATIENCE = Patience(start_s=60.0, silence_s=20.0)
LEAVE, REPLACE = Action.LEAVE, Action.REPLACE

CASES: dict[str, tuple[dict[str, Any], bool, SymbolState, Action, str]] = {
    "just asked for": ({"silent_s": 5.0}, False, SymbolState.STARTING, LEAVE, ""),
    "at the limit of starting": ({"silent_s": 60.0}, False, SymbolState.STARTING, LEAVE, ""),
    "never started": (
        {"silent_s": 60.1},
        False,
        SymbolState.STARTING,
        REPLACE,
        "its actor has not started within 60 s",
    ),
    "busy for a moment": (
        {"silent_s": 20.0},
        True,
        SymbolState.RECOVERING,
        LEAVE,
        "its actor has not answered for 20 s",
    ),
    "hung": (
        {"silent_s": 21.4},
        True,
        SymbolState.RECOVERING,
        REPLACE,
        "its actor has not answered for 21 s",
    ),
    "live": ({"answered": True, "feed": "live"}, True, SymbolState.LIVE, LEAVE, ""),
    "live at the first answer": ({"answered": True, "feed": "live"}, False, SymbolState.LIVE, LEAVE, ""),
    "live after silence": (
        {"answered": True, "feed": "live", "silent_s": 99.0},
        True,
        SymbolState.LIVE,
        LEAVE,
        "",
    ),
    "connecting for the first time": (
        {"answered": True, "feed": "connecting"},
        True,
        SymbolState.STARTING,
        LEAVE,
        "its feed is connecting",
    ),
    "connecting anew": (
        {"answered": True, "feed": "connecting", "ever_received": True},
        True,
        SymbolState.RECOVERING,
        LEAVE,
        "its feed is connecting",
    ),
    "connected in a quiet market": (
        {"answered": True, "feed": "connecting", "connected": True, "ever_received": True},
        True,
        SymbolState.LIVE,
        LEAVE,
        "",
    ),
    "failed": (
        {"answered": True, "feed": "closed", "failure": "no such symbol"},
        True,
        SymbolState.FAILED,
        REPLACE,
        "no such symbol",
    ),
    "failed while its feed looks live": (
        {"answered": True, "feed": "live", "failure": "broken"},
        True,
        SymbolState.FAILED,
        REPLACE,
        "broken",
    ),
    "stuck though its status thread answers": (
        {"answered": True, "feed": "live", "stuck_s": 21.0},
        True,
        SymbolState.RECOVERING,
        REPLACE,
        "its actor has been stuck for 21 s",
    ),
    "busy, not stuck": (
        {"answered": True, "feed": "live", "stuck_s": 19.0},
        True,
        SymbolState.LIVE,
        LEAVE,
        "",
    ),
    "catching up after a restart": (
        {"answered": True, "feed": "live", "recovering": "trades 5 to 9 are missing"},
        True,
        SymbolState.RECOVERING,
        LEAVE,
        "trades 5 to 9 are missing",
    ),
    "its log is full": (
        {"answered": True, "feed": "live", "trouble": "the disk is full"},
        True,
        SymbolState.RECOVERING,
        LEAVE,
        "the disk is full",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_seen_decides(case: str) -> None:
    seen, before, state, action, reason = CASES[case]
    observation = Observation(**({"answered": False, "silent_s": 0.0} | seen))
    verdict = judge(observation, before, PATIENCE)
    assert (verdict.state, verdict.action, verdict.reason) == (state, action, reason)


def test_patience_is_what_decides_when() -> None:
    seen = Observation(answered=False, silent_s=3.0)
    assert judge(seen, False, Patience(start_s=2.0)).action is REPLACE
    assert judge(seen, True, Patience(silence_s=2.0)).action is REPLACE
    assert judge(seen, True, Patience(silence_s=4.0)).action is LEAVE
