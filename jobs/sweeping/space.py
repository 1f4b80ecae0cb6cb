"""The search space of a sweep: a YAML file, words of the command line, or a default that fits the source.

    space = parse_space(load(path), ["model=choice(ridge, lightgbm)", "ridge.penalty=loguniform(1, 1000)"])
    space.spec(space.draw(optuna_trial))        # one point of it

docs/sweeps.md shows the file. Whatever can't be is refused before anything is computed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from features.bars import BarSpec
from features.engine import EngineSpec
from features.errors import ConfigError, SpecError
from features.models.catalogue import LEARNERS
from features.models.trees import LIBRARIES
from features.spec import FeatureSet
from features.trading.rules import RULES
from jobs.sweeping.domains import Asked, Domain, Value
from jobs.sweeping.trial_spec import TrialSpec

Domains = Mapping[str, Domain]
_PARTS = ("sampling", "horizon", "features", "model", "rule")


@dataclass(frozen=True, slots=True)
class Space:
    """All that a sweep may try."""

    sampling: Domain
    """Bars: durations like "5m", or specs like "tick:100"."""
    horizon: Domain
    features: Mapping[str, tuple[str, ...]]
    """Sets of features by name."""
    model: Mapping[str, Domains]
    """For each model its parameters; those not named have their defaults."""
    rule: Mapping[str, Domains]
    """The same for trading rules."""

    def draw(self, by: Asked) -> dict[str, Value]:
        """One point of the space; only parameters of the model and the rule that are chosen are asked."""
        point: dict[str, Value] = {}
        for name, domain in (
            ("sampling", self.sampling),
            ("horizon", self.horizon),
            ("features", Domain("choice", tuple(self.features))),
        ):
            point[name] = domain.suggest(name, by)
        for part, kinds in (("model", self.model), ("rule", self.rule)):
            chosen = str(Domain("choice", tuple(kinds)).suggest(part, by))
            point[part] = chosen
            for name, domain in kinds[chosen].items():
                point[f"{chosen}.{name}"] = domain.suggest(f"{chosen}.{name}", by)
        return point

    def spec(self, point: Mapping[str, Value]) -> TrialSpec:
        """What a point says, checked. Raises SpecError for parameters that don't go together."""
        model, rule = str(point["model"]), str(point["rule"])
        return TrialSpec.of(
            str(point["sampling"]),
            str(point["horizon"]),
            self.features[str(point["features"])],
            model,
            {name: point[f"{model}.{name}"] for name in self.model[model]},
            rule,
            {name: point[f"{rule}.{name}"] for name in self.rule[rule]},
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values: equal spaces give equal dicts. Lists, as the order decides what a seed draws."""
        return {
            "sampling": self.sampling.text,
            "horizon": self.horizon.text,
            "features": [[name, list(texts)] for name, texts in self.features.items()],
        } | {
            part: [[kind, [[name, one.text] for name, one in of.items()]] for kind, of in kinds.items()]
            for part, kinds in (("model", self.model), ("rule", self.rule))
        }


def load(path: Path) -> dict[str, Any]:
    """The settings of a YAML file. Raises ConfigError."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"can't be read: {error.strerror}", str(path)) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"is no YAML: {' '.join(str(error).split())}", str(path)) from None
    if not isinstance(found, dict):
        raise ConfigError("is no search space", str(path), f"it has keys: {', '.join(_PARTS)}")
    return found


def parse_space(given: Mapping[str, Any], words: Iterable[str], defaults: Mapping[str, Any]) -> Space:
    """The space of a file or `{}`, changed by words; parts left out are the defaults'. Raises ConfigError."""
    for name in given:
        _known(str(name), _PARTS, "space")
    raw = {part: given.get(part, defaults[part]) for part in _PARTS}
    for word in words:
        _apply(raw, word)
    space = Space(
        sampling=Domain.parse(raw["sampling"], "space.sampling"),
        horizon=Domain.parse(raw["horizon"], "space.horizon"),
        features=_features(raw["features"]),
        model=_kinds(raw["model"], "model", (*LEARNERS, *LIBRARIES)),
        rule=_kinds(raw["rule"], "rule", tuple(RULES)),
    )
    _check(space)
    return space


def _apply(raw: dict[str, Any], word: str) -> None:
    """Change the settings as a word says: "horizon=5m", "model=choice(ridge, xgboost)", "ridge.penalty=…"."""
    name, equals, value = (part.strip() for part in word.partition("="))
    if not equals or not value:
        raise ConfigError(f"{word!r} can't be read", "--space", 'write it like "horizon=choice(5m, 15m)"')
    owner, dot, parameter = name.removeprefix("model.").removeprefix("rule.").partition(".")
    if dot:
        part = "model" if owner in (*LEARNERS, *LIBRARIES) else "rule"
        kinds = _as_kinds(raw[part], f"space.{part}")
        _known(owner, kinds, f"--space {word}")
        raw[part] = kinds | {owner: dict(kinds[owner] or {}) | {parameter: value}}
        return
    _known(name, _PARTS, f"--space {word}")
    if name in ("sampling", "horizon"):
        raw[name] = value
        return
    chosen = [str(one) for one in Domain.parse(value, f"--space {name}").values]
    there = raw[name] if isinstance(raw[name], dict) else _as_kinds(raw[name], f"space.{name}")
    if name == "features":
        for one in chosen:
            _known(one, there, f"--space {word}")
    raw[name] = {one: there.get(one) or {} for one in chosen}


def _features(given: Any) -> dict[str, tuple[str, ...]]:
    if isinstance(given, list):
        given = {"features": given}
    if not isinstance(given, dict) or not given:
        raise ConfigError("there are no features", "space.features", "name sets: {mine: [log_return:1]}")
    found = {}
    for name, texts in given.items():
        where = f"space.features.{name}"
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ConfigError(f"{texts!r} is no list of features", where, "write [log_return:1, rsi:14]")
        try:
            found[str(name)] = tuple(spec.text for spec in FeatureSet.parse(texts).specs)
        except SpecError as error:
            raise ConfigError(error.problem, where, error.fix) from None
    return found


def _as_kinds(given: Any, where: str) -> dict[str, Any]:
    """{ridge: {…}, naive: {}} also from "ridge" and [ridge, naive]."""
    if isinstance(given, str):
        given = [given]
    if isinstance(given, list):
        given = {str(one): {} for one in given}
    if not isinstance(given, dict) or not given:
        raise ConfigError(f"{given!r} names nothing", where, "name at least one")
    return {str(name): parameters for name, parameters in given.items()}


def _kinds(given: Any, part: str, known: tuple[str, ...]) -> dict[str, Domains]:
    found: dict[str, Domains] = {}
    for name, parameters in _as_kinds(given, f"space.{part}").items():
        where = f"space.{part}.{name}"
        _known(name, known, f"space.{part}")
        if parameters is not None and not isinstance(parameters, dict):
            raise ConfigError(f"{parameters!r} are no parameters", where, "write {name: value}")
        found[name] = {
            str(one): Domain.parse(value, f"{where}.{one}") for one, value in (parameters or {}).items()
        }
    return found


def _check(space: Space) -> None:
    """Raise ConfigError for what can't be, whatever is drawn: each value is tried with the first others."""
    for bars in space.sampling.values:
        for horizon in space.horizon.values:
            where = f"space: sampling {bars}, horizon {horizon}"
            try:
                spec = BarSpec.parse(sampling_text(str(bars)))
                EngineSpec("*", bars=spec, features=("log_return:1",), horizons=(str(horizon),))
            except SpecError as error:
                fix = error.fix or "every horizon must be whole bars of every sampling"
                raise ConfigError(error.problem, where, fix) from None
    first, features = str(space.horizon.values[0]), next(iter(space.features.values()))
    sampling = str(space.sampling.values[0])

    def tried(part: str, kind: str, given: Mapping[str, Value]) -> None:
        if part == "model":
            TrialSpec.of(sampling, first, features, kind, given, "flat", {})
        else:
            TrialSpec.of(sampling, first, features, "naive", {}, kind, given)

    for part, kinds in (("model", space.model), ("rule", space.rule)):
        for kind, parameters in kinds.items():
            for name, given in _ends(parameters, alone=part == "model"):
                try:
                    tried(part, kind, given)
                except SpecError as error:
                    if part == "rule" and _is_of_several(kind, parameters):
                        continue
                    where = f"space.{part}.{kind}" + (f".{name}" if name else "")
                    raise ConfigError(error.problem, where, error.fix) from None


def _ends(parameters: Domains, alone: bool) -> Iterator[tuple[str, dict[str, Value]]]:
    """Each value or end of each parameter, with the first of the others or `alone`; "" names none of them."""
    first = {name: domain.values[0] for name, domain in parameters.items()}
    if not alone or not parameters:
        yield "", first
    for name, domain in parameters.items():
        for value in domain.values:
            yield name, {name: value} if alone else first | {name: value}


def _is_of_several(rule: str, parameters: Domains) -> bool:
    """Whether a rule's arguments are judged together: an end of one range need not fit that of another."""
    arguments = RULES[rule].arguments
    needed = {argument.name for argument in arguments if argument.default is None}
    known = {argument.name for argument in arguments}
    together = bool(RULES[rule].relation((0.0,) * len(arguments)))
    return together and needed <= set(parameters) <= known


def sampling_text(given: str) -> str:
    """The bar spec that a sampling means: "5m" is "time:5m"."""
    return given if ":" in given else f"time:{given}"


def _known(name: str, known: Iterable[str], where: str) -> None:
    known = list(known)
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"{name!r} is unknown", where, f"{hint}there are: {', '.join(known)}")
