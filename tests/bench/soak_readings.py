"""What a soak notes every few seconds, and at its end, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SoakSpec:
    """What a soak runs and how long."""

    minutes: float = 60.0
    symbols: tuple[str, ...] = ()
    ticks_per_s: float = 2_000.0
    """Trades and quotes of all symbols together, as the generated market means them on average."""
    every_s: float = 5.0
    """The time between two readings."""
    roll_after_s: float = 60.0
    checkpoint_every_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Processes of one kind, all together."""

    processes: int
    written_mb: float
    """What they have written, each for itself: memory that nothing else on the machine changes."""
    uss_mb: float
    rss_mb: float


@dataclass(frozen=True, slots=True)
class LogOnDisk:
    """The log folder of one symbol."""

    bytes: int
    """Of all files: segments and checkpoints."""
    segments: int
    oldest_s: float
    """Age of the oldest segment: so much of the stream is here."""
    checkpoint_bytes: int
    """Size of the largest checkpoint."""
    bytes_per_s: float
    """How fast the closed segments that are here have grown, the fastest one; 0 without any."""
    overdue: tuple[str, ...]
    """Segments that are in the lake and behind every checkpoint: the archiver may remove them."""
    removed: int
    """Segments that were here at a reading before and are gone."""


@dataclass(frozen=True, slots=True)
class Latency:
    """From an actor's receipt of the tick that closes a bar to the forecast in a client's hands, in ms."""

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything at one moment."""

    at_s: float
    """Since the soak began."""
    memory: dict[str, Memory]
    """By kind of process."""
    actors_mb: dict[str, float]
    """What each symbol's actor has written."""
    logs: dict[str, LogOnDisk]
    lake_files: int
    lake_bytes: int
    waiting_segments: int
    """Closed segments that are not in the lake yet."""
    latencies_ms: list[float]
    """Since the reading before; see `Latency`."""
    ticks: int
    """Taken in by all symbols so far."""
    late: int
    """Trades so far that came after their bar had closed by the clock, and count in the next one."""
    counters: dict[str, int]
    """Of all symbols together, so far: what was missing, dropped, repeated, restarted."""
    problems: list[str]
    """What the actors, the archiver and the onlooker complain about."""
    foreign_cores: float
    """CPU that others have taken since the reading before."""


@dataclass(frozen=True, slots=True)
class LakeCheck:
    """What the lake holds of one symbol, against what the market has published."""

    ticks: int
    """Of the stream up to the last archived segment."""
    trades: int
    behind: int
    """Trades published when it was looked at that the actor had not taken in yet."""
    problem: str
    """What is missing, doubled or different; empty when nothing is."""


@dataclass(slots=True)
class Soak:
    """A whole run."""

    spec: SoakSpec
    readings: list[Reading] = field(default_factory=list)
    lake: dict[str, LakeCheck] = field(default_factory=dict)
