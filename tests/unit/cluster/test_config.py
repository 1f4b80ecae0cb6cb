"""A config that can't be used is refused with one line that says where, what and how to mend it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from cluster import config
from cluster.config import Config, load
from features.errors import ConfigError

GOOD = "symbols: [BTCUSDT]\n"


def refused(text: str | bytes, tmp_path: Path) -> str:
    """The message for this file, without its name."""
    path = tmp_path / "config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as error:
        load(path)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message.removeprefix(str(path)).removeprefix(": ")


def sections(model: type[BaseModel] = Config, place: str = "") -> list[tuple[str, str]]:
    """Every (place, key) of the configuration, found by walking its models."""
    found = []
    for name, field in model.model_fields.items():
        found.append((place, name))
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found += sections(field.annotation, f"{place}{name}.")
    return found


def with_key(place: str, line: str) -> str:
    """A config that has this line in the section of that place."""
    indent, text = "", ""
    for part in place.split(".")[:-1]:
        text += f"{indent}{part}:\n"
        indent += "  "
    return GOOD + text + indent + line


@pytest.mark.parametrize(("place", "key"), sections())
def test_a_misspelt_key_anywhere_names_the_one_that_was_meant(place: str, key: str, tmp_path: Path) -> None:
    misspelt = key[:-1] + "x" + key[-1]
    message = refused(with_key(place, f"{misspelt}: 1\n"), tmp_path)
    assert message.startswith(f"unknown key {place + misspelt!r}; did you mean {key!r}? known here: ")


def test_a_key_like_no_other_gets_the_list(tmp_path: Path) -> None:
    message = refused(GOOD + "bars: {zzzzzz: 1}\n", tmp_path)
    known = "every, heartbeat_delay, max_fill, price, session_gap"
    assert message == f"unknown key 'bars.zzzzzz'; known here: {known}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "symbols is missing; add a line 'symbols'"),
        ("symbol: [BTCUSDT]", "unknown key 'symbol'; did you mean 'symbols'?"),
        ("symbols: []", "symbols: "),
        ("symbols: [7]", "symbols.0: Input should be a valid string (found 7)"),
        ("symbols: BTCUSDT", "symbols: "),
        ("symbols: [BTCUSDT, ETHUSDT, btcusdt]", "symbols: listed twice: BTCUSDT; list each symbol once"),
        (GOOD + "coverage: 1.5", "coverage: Input should be less than 1 (found 1.5)"),
        (GOOD + "coverage: .nan", "coverage: Input should be a finite number"),
        (GOOD + "ledger_half_life: 0", "ledger_half_life: Input should be greater than 0 (found 0)"),
        (GOOD + "first_forecast_bars: 2.5", "first_forecast_bars: Input should be a valid integer"),
        (GOOD + "serve: {port: http}", "serve.port: Input should be a valid integer"),
        (GOOD + "serve: {port: 70000}", "serve.port: Input should be less than or equal to 65535"),
        (GOOD + "serve: 5", "serve: "),
        (GOOD + "ray: {environment: {A: 1}}", "ray.environment.A: Input should be a valid string (found 1)"),
        (GOOD + "features: [ema:20, rsj]", "features: unknown feature 'rsj'; did you mean 'rsi'?"),
        (GOOD + "features: [rsi:1]", "features: rsi: n = 1 is out of range"),
        (GOOD + "features: []", "features: no features are given"),
        (GOOD + "models: [naive, rigde]", "models: unknown model 'rigde'; did you mean 'ridge'?"),
        (GOOD + "models: [ridge]", "models: the first model is not naive; naive comes first"),
        (GOOD + "models: [naive, naive]", "models: listed twice: naive"),
        (GOOD + "horizons: []", "horizons: there is no horizon"),
        (GOOD + "horizons: [10 seconds]", "horizons: '10 seconds' is not a duration; write for example"),
        (GOOD + "horizons: [1500ms]", "horizons: horizon 1500ms is not a multiple of the bar interval 1s"),
        (GOOD + "bars: {every: 'tim:1s'}", "bars: unknown bar kind 'tim'; use one of: time, tick, volume"),
        (GOOD + "bars: {every: 'time:1'}", "bars: '1' is not a duration"),
        (GOOD + "bars: {price: last}", "bars.price: unknown bar price 'last'; use trade or mid"),
        (GOOD + "bars: {session_gap: long}", "bars.session_gap: 'long' is not a duration"),
        (GOOD + "bars: {heartbeat_delay: soon}", "bars.heartbeat_delay: 'soon' is not a duration"),
        (GOOD + "venue: {name: binanec}", "venue: unknown venue 'binanec'; did you mean 'binance'?"),
        (GOOD + "venue: {options: {strem: 1}}", "venue 'binance': strem: "),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, says: str, tmp_path: Path) -> None:
    assert refused(text, tmp_path).startswith(says)


def test_a_file_that_is_not_there_or_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path / "nowhere.yaml")
    assert str(error.value) == f"{tmp_path / 'nowhere.yaml'}: can't be read: No such file or directory"
    with pytest.raises(ConfigError, match="can't be read: Is a directory"):
        load(tmp_path)


def test_a_file_that_is_not_yaml_is_refused_with_the_line(tmp_path: Path) -> None:
    assert refused("symbols: [A]\nbars: {every: [\n", tmp_path).startswith(", line 3: is not YAML: ")
    assert refused(b"\xff\xfe\x00", tmp_path).startswith("is not a text file; write YAML")


@pytest.mark.parametrize("text", ["", "# nothing\n", "[BTCUSDT]", "BTCUSDT", "7"])
def test_a_file_without_settings_is_refused_with_a_beginning(text: str, tmp_path: Path) -> None:
    assert refused(text, tmp_path) == 'holds no settings; begin with "symbols: [BTCUSDT]"'


def test_symbols_are_enough_and_become_engines(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("symbols: [btcusdt, ETHUSDT]\nhorizons: [5s]\nbars: {every: time:1s, max_fill: 7}\n")
    settings = load(path)
    assert settings.normalised_symbols() == ("BTCUSDT", "ETHUSDT")
    spec = settings.engine_spec("BTCUSDT")
    assert (spec.symbol, spec.horizons, spec.bars.max_fill) == ("BTCUSDT", ("5s",), 7)
    assert spec.coverage == settings.coverage
    assert spec.models == settings.models
    assert spec.features == settings.all_features()


def test_features_of_the_book_come_only_where_there_are_quotes(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    with_book = load(path).all_features()
    path.write_text(GOOD + "venue: {quotes: false}\n")
    without = load(path).all_features()
    assert set(without) < set(with_book)
    path.write_text(GOOD + "features: [rsi]\n")
    assert load(path).all_features() == ("rsi",)


@pytest.mark.parametrize(("place", "key"), sections())
def test_no_setting_can_be_changed(place: str, key: str) -> None:
    section: BaseModel = Config(symbols=("BTCUSDT",))
    for part in place.split(".")[:-1]:
        section = getattr(section, part)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(section, key, getattr(section, key))


def test_the_examples_that_come_with_the_code_are_good() -> None:
    folder = Path(config.__file__).parent / "presets"
    files = sorted(folder.glob("*.yaml"))
    assert files
    for path in files:
        assert load(path).symbols
