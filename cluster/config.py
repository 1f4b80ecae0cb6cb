"""The settings of a running Tickcast: one YAML file, frozen, every key checked.

    symbols: [BTCUSDT, ETHUSDT]
    venue: {name: binance}
    horizons: [10s, 60s]

Everything else has a default. An unknown key is refused with the nearest one that exists; what is
wrong is said with its place in the file. docs/configuration.md lists every key.
"""

from __future__ import annotations

import difflib
import os
import random
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cluster import venues
from cluster.backoff import Backoff
from cluster.feed_policy import FeedPolicy
from cluster.gap_policy import GapPolicy
from cluster.policies import Patience
from cluster.storage.log_policy import LogPolicy
from cluster.storage.retention import RetentionSpec
from cluster.storage.store_spec import StoreSpec
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
    cpus: int | None = Field(None, ge=0)
    """Logical CPUs; null takes those of the machine. With 0 the head carries no symbols while another
    node can."""
    object_store_bytes: int = Field(300_000_000, ge=80_000_000)
    """Shared memory for large objects. Live forecasting needs next to none; jobs want more."""
    environment: dict[str, str] = {}
    """Environment variables for Ray's processes, over our own choice (cluster/ray_environment.py)."""


class StorageSection(_Section):
    """Where ticks, bars, forecasts and states are kept."""

    lake: StoreSpec | None = None
    """The store of the lake: a folder or an S3 bucket; null is `lake` in the data folder."""
    data_dir: str | None = None
    """The data folder of each machine; null is `data` in the run's folder. It may name environment
    variables of the node, like "$POD_DATA"."""
    log: LogPolicy = LogPolicy()
    retention: RetentionSpec = RetentionSpec()
    """What may be removed from the lake, and when; by default nothing. See docs/storage.md."""
    archive_every_s: float = Field(1.0, gt=0)
    """How often closed segments are looked for."""
    archive_retry_max_s: float = Field(15.0, gt=0)
    """The longest pause before a lake that failed is tried again."""


class RegistrySection(_Section):
    """Trained models: see docs/models.md."""

    challengers: int = Field(1, ge=0, le=100)
    """Models that are scored in shadow, beside the champion, for each symbol."""
    look_every_s: float = Field(3.0, gt=0)
    """How often the lake is asked which models the symbols are to have."""


class SupervisionSection(_Section):
    """How actors are watched."""

    check_every_s: float = Field(1.0, gt=0)
    answer_within_s: float = Field(5.0, gt=0)
    """An actor that does not answer its status for so long is unwell."""
    start_within_s: float = Field(60.0, gt=0)
    """An actor that has not answered for so long after its start is started anew."""
    hung_after_s: float = Field(20.0, gt=0)
    """An actor that has answered before, and not for so long, is ended and started anew."""
    restart_base_s: float = Field(1.0, gt=0)
    """The pause before the second restart in a row; it doubles from there. The first has none."""
    restart_max_s: float = Field(60.0, gt=0)

    def patience(self) -> Patience:
        """For `policies.judge`."""
        return Patience(self.start_within_s, self.hung_after_s)

    def backoff(self, symbol: str) -> Backoff:
        """The pauses between restarts of one symbol."""
        return Backoff(0.0, self.restart_base_s, self.restart_max_s, 0.2, random.Random(symbol))


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
    gaps: GapPolicy = GapPolicy()
    storage: StorageSection = StorageSection()
    serve: ServeSection = ServeSection()
    ray: RaySection = RaySection()
    registry: RegistrySection = RegistrySection()
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

    def in_place(self) -> Config:
        """The same settings with every folder absolute, for processes that run elsewhere."""
        run_dir = self.run_dir.absolute()
        lake = self.storage.lake or StoreSpec(uri=str(run_dir / "data" / "lake"))
        data_dir = self.storage.data_dir or str(run_dir / "data")
        if not data_dir.startswith("$"):
            data_dir = str(Path(data_dir).absolute())
        placed = {"lake": lake.anchored(Path.cwd()), "data_dir": data_dir}
        return self.model_copy(update={"run_dir": run_dir, "storage": self.storage.model_copy(update=placed)})

    def lake_spec(self) -> StoreSpec:
        """The store of the lake."""
        lake = self.in_place().storage.lake
        assert lake is not None
        return lake

    def log_root(self) -> str:
        """Where the tick logs of a machine are; `on_this_machine` makes a path of it."""
        return f"{self.in_place().storage.data_dir}/log"

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
            challengers=self.registry.challengers,
        )


def on_this_machine(folder: str) -> Path:
    """The path of a folder of the config, with the environment variables of this machine filled in.

    Raises ConfigError for a variable that is not set here.
    """
    path = os.path.expandvars(folder)
    if "$" in path:
        raise ConfigError(f"{folder!r} names a variable that is not set", "storage.data_dir", "set it")
    return Path(path)


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
