"""Every error Tickcast raises on purpose.

    TickcastError
        ConfigError           a setting is wrong; names the place and the fix
            SpecError         a feature, bar or model spec can't be read
        DataError             input data can't be used as asked
        SnapshotError         a saved state can't be restored
        ModelRefused          a trained model is damaged, or does not fit
        ModelMissing          there is no trained model of this version
        UnknownSymbol         nobody asked us to watch this symbol
        UnknownHorizon        no forecast is made at this horizon
        NotWarm               not enough bars yet for a forecast

An error says what was wrong, where, and what to do about it. It keeps those three as data, so
that a command line, an HTTP answer and a log line can each show them their own way, and it
survives pickling, so that it can cross process borders.
"""

from __future__ import annotations


class TickcastError(Exception):
    """What was wrong (`problem`), where (`where`) and what to do (`fix`)."""

    def __init__(self, problem: str, where: str = "", fix: str = "") -> None:
        super().__init__(problem, where, fix)
        self.problem = problem
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        text = f"{self.where}: {self.problem}" if self.where else self.problem
        return f"{text}; {self.fix}" if self.fix else text


class ConfigError(TickcastError):
    """A setting is wrong."""


class SpecError(ConfigError):
    """A feature, bar or model spec can't be read."""


class DataError(TickcastError):
    """Input data can't be used as asked."""


class SnapshotError(TickcastError):
    """A saved state can't be restored: damaged, of a newer version, or of another config."""


class ModelRefused(TickcastError):
    """A trained model can't be used: it is damaged, or made for other features or horizons."""


class ModelMissing(TickcastError):
    """There is no trained model of this version where one was asked for."""

    def __init__(self, version: int, where: str = "models") -> None:
        Exception.__init__(self, version, where)
        self.version = version
        self.problem = f"there is no model of version {version}"
        self.where = where
        self.fix = "publish it, or restore it from a backup"


class UnknownSymbol(TickcastError):
    """Nobody asked us to watch this symbol. `known` lists the symbols that are watched."""

    def __init__(self, symbol: str, known: tuple[str, ...] = ()) -> None:
        Exception.__init__(self, symbol, known)
        self.symbol = symbol
        self.known = known
        self.problem = f"symbol {symbol!r} is not watched"
        self.where = ""
        self.fix = f"use one of: {', '.join(known)}" if known else "no symbol is watched yet"


class UnknownHorizon(TickcastError):
    """No forecast is made at this horizon. `valid` lists those there are."""

    def __init__(self, horizon: str, valid: tuple[str, ...] = ()) -> None:
        Exception.__init__(self, horizon, valid)
        self.horizon = horizon
        self.valid = valid
        self.problem = f"no forecast is made at horizon {horizon!r}"
        self.where = ""
        self.fix = f"use one of: {', '.join(valid)}"


class NotWarm(TickcastError):
    """Not enough bars yet for a forecast; `retry_after_s` says when to ask again."""

    def __init__(self, symbol: str, retry_after_s: float, reason: str) -> None:
        Exception.__init__(self, symbol, retry_after_s, reason)
        self.symbol = symbol
        self.retry_after_s = retry_after_s
        self.problem = f"{symbol} has no forecast yet: {reason}"
        self.where = ""
        self.fix = f"ask again in {retry_after_s:g} s"
