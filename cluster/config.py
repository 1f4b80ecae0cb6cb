"""The settings of a running Tickcast: one YAML file, frozen, every key checked.

    symbols: [BTCUSDT, ETHUSDT]
    venue: {name: binance}
    horizons: [10s, 60s]

Everything else has a default. An unknown key is refused with the nearest one that exists; what is
wrong is said with its place in the file. docs/configuration.md lists every key.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cluster import venues
from cluster.feed_policy import FeedPolicy
from features import durations
from features.bars import BarSpec
from features.engine import BOOK_FEATURES, DEFAULT_FEATURES, DEFAULT_MODELS, EngineSpec
from features.errors import ConfigError, TickcastError
from features.models.catalogue import LearnerSpec
from features.spec import FeatureSet

_Model = TypeVar("_Model", bound=BaseModel)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class VenueSection(_Section):
    """Where the ticks come from."""

    name: str = "binance"
    quotes: bool = True
    """Also watch the best bid and ask."""
    options: dict[str, Any] = {}
    """The venue's own options, see docs/venues.md."""
    websocket_url: str | None = None
    """Replaces the venue's address, for a test net or the local exchange."""
    rest_url: str | None = None

    def all_options(self) -> dict[str, Any]:
        """What `venues.get` is given beside the name."""
        return {"quotes": self.quotes} | self.options


class BarSection(_Section):
    """How ticks become bars."""

    every: str = "time:1s"
    """"time:1s", "tick:100", "volume:50" or "dollar:1e6"."""
    max_fill: int = Field(300, ge=1)
    """Empty time bars in a row that are filled forward before a session ends."""
    session_gap: str = "30m"
    """Silence that ends a session of event bars."""
    price: str = "trade"
    """What moves the close: "trade", or "mid" for instruments that only quote."""
    heartbeat_delay: str | None = "250ms"
    """A time bar closes at latest so long after its end, by our clock; null waits for the next tick."""

    def spec(self) -> BarSpec:
        """The bar rules for the engine."""
        gap = durations.parse_ns(self.session_gap, "bars.session_gap")
        return BarSpec.parse(self.every, max_fill=self.max_fill, session_gap_ns=gap, price=self.price)


class ServeSection(_Section):
    """The HTTP service."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    application: str = "serve_app.app:build"
    """What builds the Serve application: "module:function", called with its settings from `options`."""
    options: dict[str, Any] = {}
    """Settings of the application itself, see docs/api.md."""


class RaySection(_Section):
    """The Ray node that `up` starts on this machine."""

    port: int = Field(6379, ge=1, le=65535)
    """Where other nodes join."""
    dashboard_host: str = "127.0.0.1"
    dashboard_port: int = Field(8265, ge=1, le=65535)
    cpus: int | None = Field(None, ge=1)
    """Logical CPUs; null takes those of the machine."""
    object_store_bytes: int = Field(300_000_000, ge=80_000_000)
    """Shared memory for large objects. Live forecasting needs next to none; jobs want more."""
    environment: dict[str, str] = {}
    """Environment variables for Ray's processes, over our own choice (cluster/ray_environment.py)."""


class SupervisionSection(_Section):
    """How actors are watched."""

    check_every_s: float = Field(1.0, gt=0)
    answer_within_s: float = Field(5.0, gt=0)
    """An actor that does not answer its status for so long is unwell."""


class Config(_Section):
    """The whole configuration."""

    symbols: tuple[str, ...] = Field(min_length=1)
    venue: VenueSection = VenueSection()
    bars: BarSection = BarSection()
    features: tuple[str, ...] | None = None
    """Feature specs, see docs/features.md; null for a default set that fits what the venue sends."""
    horizons: tuple[str, ...] = ("10s", "60s")
    models: tuple[str, ...] = DEFAULT_MODELS
    coverage: float = Field(0.9, ge=0.5, lt=1.0)
    first_forecast_bars: int = Field(10, ge=1)
    ledger_half_life: float = Field(5000.0, gt=0)
    feed: FeedPolicy = FeedPolicy()
    serve: ServeSection = ServeSection()
    ray: RaySection = RaySection()
    supervision: SupervisionSection = SupervisionSection()
    run_dir: Path = Path(".tickcast")
    """Where this run keeps its state file, logs and secrets."""

    @model_validator(mode="after")
    def _check_meaning(self) -> Config:
        venue = venues.get(self.venue.name, **self.venue.all_options())
        names = [venue.normalise_symbol(symbol) for symbol in self.symbols]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ConfigError(f"listed twice: {', '.join(doubled)}", "symbols", "list each symbol once")
        FeatureSet.parse(list(self.all_features()))
        for text in self.models:
            LearnerSpec.parse(text)
        if self.bars.heartbeat_delay is not None:
            durations.parse_ns(self.bars.heartbeat_delay, "bars.heartbeat_delay")
        self.engine_spec(names[0])
        return self

    def normalised_symbols(self) -> tuple[str, ...]:
        """The symbols as the venue writes them."""
        venue = venues.get(self.venue.name, **self.venue.all_options())
        return tuple(venue.normalise_symbol(symbol) for symbol in self.symbols)

    def all_features(self) -> tuple[str, ...]:
        """The features that are computed."""
        if self.features is not None:
            return self.features
        return DEFAULT_FEATURES + (BOOK_FEATURES if self.venue.quotes else ())

    def engine_spec(self, symbol: str) -> EngineSpec:
        """What the engine of one symbol computes."""
        return EngineSpec(
            symbol=symbol,
            bars=self.bars.spec(),
            features=self.all_features(),
            horizons=self.horizons,
            models=self.models,
            coverage=self.coverage,
            first_forecast_bars=self.first_forecast_bars,
            ledger_half_life=self.ledger_half_life,
        )


def load(path: Path) -> Config:
    """Read a config file. Raises ConfigError that names the file, the place in it and the fix."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"can't be read: {error.strerror}", str(path)) from None
    except UnicodeDecodeError:
        raise ConfigError("is not a text file", str(path), "write YAML, see docs/configuration.md") from None
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise ConfigError(f"is not YAML: {getattr(error, 'problem', error)}", line) from None
    if not isinstance(values, dict):
        raise ConfigError("holds no settings", str(path), 'begin with "symbols: [BTCUSDT]"')
    return parse(Config, values, str(path))


def parse(model: type[_Model], values: dict[str, Any], where: str) -> _Model:
    """A settings object from plain values. Raises ConfigError for the first thing that is wrong."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _explain(model, error, where) from None
    except TickcastError as error:
        place = f"{where}: {error.where}" if error.where else where
        raise ConfigError(error.problem, place, error.fix) from None


def _explain(model: type[BaseModel], error: ValidationError, where: str) -> ConfigError:
    # A misspelt key also leaves the right one missing: the misspelling is what to show.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return ConfigError(f"{place} is missing", where, f"add a line {place!r}")
    if first["type"] != "extra_forbidden":
        message = first["msg"].replace("valid tuple", "list").replace("Tuple", "List")
        return ConfigError(f"{message} (found {first['input']!r})", f"{where}: {place}")
    known = sorted(_keys(model, first["loc"][:-1]))
    near = difflib.get_close_matches(str(first["loc"][-1]), known, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return ConfigError(f"unknown key {place!r}", where, f"{hint}known here: {', '.join(known)}")


def _keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The keys that a section has."""
    for part in path:
        field = model.model_fields.get(str(part))
        if field is None or not isinstance(field.annotation, type):
            break
        if issubclass(field.annotation, BaseModel):
            model = field.annotation
    return list(model.model_fields)
