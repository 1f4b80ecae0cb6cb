"""Which metrics there are, and where each is found in what the supervisor says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from cluster.policies import SymbolState
from serve_app.continuity import checkpoint_age_s

Said = Mapping[str, Any]
"""What is said of one symbol or node; it may lack anything."""
_SHORT_ID = 12
_QUANTILES = {"0.5": "p50_ms", "0.9": "p90_ms", "0.99": "p99_ms"}


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of every symbol or node. A name that ends in `_total` is a counter's, else a gauge's."""

    name: str
    meaning: str
    """With its unit, for people."""
    values: Callable[[Said, int], Mapping[str, float | None]]
    """The values by what the label `label` says, from what is said and our clock in ns; None: no sample."""
    label: str = ""
    """Name of a label beside the symbol or node; empty where there is none, then its value is too."""


def families(said: Mapping[str, Said], nodes: Mapping[str, Said], now_ns: int) -> Iterator[Metric]:
    """All metrics, each with its samples. What is not known has none.

    `said` is what the supervisor says of every watched symbol, `nodes` what the agents say.
    """
    for series in SYMBOL_SERIES:
        yield _family(series, "symbol", said, now_ns)
    # As many digits as tell nodes apart; the whole id has 56.
    by_short_id = {node[:_SHORT_ID]: of_node for node, of_node in nodes.items()}
    for series in NODE_SERIES:
        yield _family(series, "node", by_short_id, now_ns)


def _family(series: Series, owner: str, said: Mapping[str, Said], now_ns: int) -> Metric:
    labels = (owner, series.label) if series.label else (owner,)
    kind = CounterMetricFamily if series.name.endswith("_total") else GaugeMetricFamily
    family = kind(series.name, series.meaning, labels=labels)
    for name, of_name in said.items():
        for label, value in series.values(of_name, now_ns).items():
            if value is not None:
                family.add_metric((name, label) if series.label else (name,), value)
    return family


def _found(said: Said, *path: str) -> Any:
    """What is under this path; None if it is not there."""
    value: Any = said
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value


def _at(name: str, meaning: str, *path: str) -> Series:
    """A metric that is said as it is."""
    return Series(name, meaning, lambda said, now_ns: {"": _found(said, *path)})


def _up(said: Said, now_ns: int) -> Mapping[str, float | None]:
    return {"": float(said["state"] == SymbolState.LIVE.value)}


def _state(said: Said, now_ns: int) -> Mapping[str, float | None]:
    return {state.value: float(said["state"] == state.value) for state in SymbolState}


def _bars(said: Said, now_ns: int) -> Mapping[str, float | None]:
    # Before its state is restored, an actor's engine is a new one.
    return {"": _found(said, "events", "bars") if said.get("opened") else None}


def _checkpoint_age(said: Said, now_ns: int) -> Mapping[str, float | None]:
    return {"": checkpoint_age_s(_found(said, "storage", "checkpoint_ns") or 0, now_ns)}


def _quantiles(said: Said, now_ns: int) -> Mapping[str, float | None]:
    found = {share: _found(said, "tick_to_forecast", key) for share, key in _QUANTILES.items()}
    return {share: None if ms is None else ms / 1e3 for share, ms in found.items()}


def _versions(said: Said, now_ns: int) -> Mapping[str, float | None]:
    return dict(_found(said, "models", "slots") or {}) if said.get("opened") else {}


def _misplaced(said: Said, now_ns: int) -> Mapping[str, float | None]:
    problems = _found(said, "models", "problems")
    return {"": None if problems is None else float(len(problems))}


def _agent_up(said: Said, now_ns: int) -> Mapping[str, float | None]:
    return {"": float("waiting" in said)}


def _failing(said: Said, now_ns: int) -> Mapping[str, float | None]:
    if "failing_since_ns" not in said:
        return {}
    since_ns = said["failing_since_ns"]
    return {"": 0.0 if since_ns is None else max(now_ns - since_ns, 0) / 1e9}


def _damaged(said: Said, now_ns: int) -> Mapping[str, float | None]:
    return {"": float(len(said["damaged"])) if "damaged" in said else None}


SYMBOL_SERIES = (
    Series("tickcast_symbol_up", "1 if the symbol is live, else 0.", _up),
    Series(
        "tickcast_symbol_state", "1 for the state that the symbol is in, 0 for the others.", _state, "state"
    ),
    _at(
        "tickcast_actor_restarts_total",
        "Actors of the symbol that took the place of another, since the supervisor's start.",
        "replaced",
    ),
    _at("tickcast_trades_seen_total", "Different trades taken in or stored.", "continuity", "seen"),
    _at(
        "tickcast_trades_duplicates_total",
        "Trades dropped since one connection said them more than once.",
        "continuity",
        "duplicates",
    ),
    _at(
        "tickcast_trades_overlapped_total",
        "Trades dropped since an earlier connection or REST had brought them; to be expected.",
        "continuity",
        "overlapped",
    ),
    _at(
        "tickcast_trades_reordered_total",
        "Trades that came after a later one and were put in their place.",
        "continuity",
        "reordered",
    ),
    _at(
        "tickcast_gaps_found_total",
        "Stretches of trades for which the venue's REST endpoint was needed.",
        "continuity",
        "gaps_found",
    ),
    _at("tickcast_gaps_filled_total", "Gaps that were filled whole.", "continuity", "gaps_filled"),
    _at(
        "tickcast_gaps_given_up_total",
        "Gaps that could not be filled, or not whole.",
        "continuity",
        "gaps_given_up",
    ),
    _at(
        "tickcast_trades_missing",
        "Trades that were given up and have not come since.",
        "continuity",
        "missing",
    ),
    _at(
        "tickcast_trades_filled_total",
        "Trades that REST brought and that were taken in in their place.",
        "continuity",
        "trades_filled",
    ),
    _at(
        "tickcast_trades_repaired_total",
        "Trades that came after they had been given up: stored, not learned from.",
        "continuity",
        "trades_repaired",
    ),
    _at(
        "tickcast_held_events",
        "Trades and quotes held back now until a hole before them is closed.",
        "continuity",
        "held",
    ),
    _at(
        "tickcast_worst_lateness_seconds",
        "Seconds that the slowest trade since the actor's start came later than the fastest of the last "
        "minute.",
        "continuity",
        "worst_lateness_s",
    ),
    _at("tickcast_ticks_total", "Ticks ever written to the tick log.", "storage", "next_sequence"),
    _at("tickcast_log_bytes", "Bytes of the tick log that are not in the lake yet.", "storage", "log_bytes"),
    Series(
        "tickcast_checkpoint_age_seconds",
        "Seconds since the actor last saved its state; no sample before it has.",
        _checkpoint_age,
    ),
    Series("tickcast_bars_total", "Bars closed.", _bars),
    Series(
        "tickcast_tick_to_forecast_seconds",
        "Seconds from the receipt of a tick to the forecasts that it led to: the time that this share of all "
        "since the actor's start stayed below, at most 9 % too high.",
        _quantiles,
        "quantile",
    ),
    Series(
        "tickcast_model_version",
        "Version of the trained model in a slot; 0 while it is empty.",
        _versions,
        "slot",
    ),
    Series(
        "tickcast_model_problems",
        "Slots that don't hold the model that they should, as it is refused or not there yet.",
        _misplaced,
    ),
    _at(
        "tickcast_tick_to_forecast_measured_total",
        "Times that were measured for tickcast_tick_to_forecast_seconds, since the actor's start.",
        "tick_to_forecast",
        "count",
    ),
)
NODE_SERIES = (
    Series("tickcast_node_agent_up", "1 if the agent of the node answers, else 0.", _agent_up),
    _at(
        "tickcast_archive_waiting_segments",
        "Closed segments of the node's tick logs that are not in the lake yet.",
        "waiting",
    ),
    _at("tickcast_archive_waiting_bytes", "Bytes of these segments.", "waiting_bytes"),
    Series(
        "tickcast_archive_failing_seconds",
        "Seconds since the lake began to take nothing from the node; 0 while it does.",
        _failing,
    ),
    Series(
        "tickcast_archive_damaged_segments",
        "Segments of the node that can't be read and were set aside, since its agent's start.",
        _damaged,
    ),
)
