from __future__ import annotations

import pytest

from features import catalogue
from features.errors import SpecError
from features.kernels import opcodes
from features.spec import FeatureSet, FeatureSpec


@pytest.mark.parametrize(
    "text,canonical",
    [
        ("rsi", "rsi:14"),
        ("macd", "macd:12,26,9"),
        ("macd:5", "macd:5,26,9"),
        ("bollinger", "bollinger:20,2"),
        ("bollinger:20,2.50", "bollinger:20,2.5"),
        (" ema:020 ", "ema:20"),
        ("spread", "spread"),
        ("autocorrelation: 30", "autocorrelation:30,1"),
    ],
)
def test_canonical_form_fills_in_defaults(text: str, canonical: str) -> None:
    assert FeatureSpec.parse(text).text == canonical
    assert FeatureSpec.parse(canonical) == FeatureSpec.parse(text)


def test_columns_are_the_spec_and_its_outputs() -> None:
    assert FeatureSet.parse(["ema:20", "macd", "bollinger", "time_of_day:2"]).columns == (
        "ema:20",
        "macd:12,26,9.line",
        "macd:12,26,9.signal",
        "macd:12,26,9.histogram",
        "bollinger:20,2.position",
        "bollinger:20,2.width",
        "time_of_day:2.sin1",
        "time_of_day:2.cos1",
        "time_of_day:2.sin2",
        "time_of_day:2.cos2",
    )


def test_unknown_name_gets_the_nearest_and_the_list() -> None:
    with pytest.raises(SpecError) as caught:
        FeatureSet.parse(["bolinger:20"])
    assert caught.value.problem == "unknown feature 'bolinger'"
    assert caught.value.fix.startswith("did you mean 'bollinger'? there are: return, log_return,")


@pytest.mark.parametrize(
    "text,problem",
    [
        ("ema", "ema: argument n is missing"),
        ("ema:", "'ema:': '' is not a number"),
        ("ema:x", "'ema:x': 'x' is not a number"),
        ("ema:nan", "'ema:nan': 'nan' is not a number"),
        ("ema:inf", "'ema:inf': 'inf' is not a number"),
        ("ema:0", "ema: n = 0 is out of range"),
        ("ema:-3", "ema: n = -3 is out of range"),
        ("ema:2.5", "ema: n = 2.5 is not a whole number"),
        ("ema:100001", "ema: n = 100001 is out of range"),
        ("ema:1e9", "ema: n = 1000000000 is out of range"),
        ("ema:20,3", "ema: 2 arguments are too many"),
        ("spread:1", "spread: 1 arguments are too many"),
        ("macd:26,12", "macd: fast is not below slow"),
        ("bollinger:20,0", "bollinger: k = 0 is out of range"),
    ],
)
def test_bad_arguments_say_what_the_feature_takes(text: str, problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        FeatureSpec.parse(text)
    assert caught.value.problem.startswith(problem)
    assert caught.value.fix == catalogue.find(text.split(":")[0]).usage()


def test_usage_names_type_range_and_default() -> None:
    assert catalogue.find("rsi").usage() == "rsi takes (n: whole number, 2 to 100000, default 14)"
    assert catalogue.find("spread").usage() == "spread takes no arguments"


def test_the_same_feature_twice_is_refused_also_when_written_differently() -> None:
    with pytest.raises(SpecError, match="'rsi:14' is given twice"):
        FeatureSet.parse(["rsi", "ema:3", "rsi:14"])


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(SpecError, match="no features are given"):
        FeatureSet.parse([])


def test_digest_tells_sets_apart_and_is_the_same_for_the_same_set() -> None:
    sets = [["rsi"], ["rsi:14"], ["rsi:15"], ["rsi", "ema:3"], ["ema:3", "rsi"]]
    digests = [FeatureSet.parse(texts).digest for texts in sets]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4


def test_digest_changes_with_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    before = FeatureSet.parse(["rsi"]).digest
    monkeypatch.setattr(opcodes, "KERNEL_VERSION", opcodes.KERNEL_VERSION + 1)
    assert FeatureSet.parse(["rsi"]).digest != before


def test_a_set_is_warm_when_its_slowest_feature_is() -> None:
    assert FeatureSet.parse(["ema:20", "rsi:14", "macd"]).warm_bars == 34
    assert FeatureSet.parse(["last_side"]).warm_bars == 1


def test_opcodes_and_names_are_each_used_once() -> None:
    assert sorted(entry.opcode for entry in catalogue.CATALOGUE.values()) == list(range(opcodes.N_OPS))
