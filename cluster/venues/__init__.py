"""Venues: one module per exchange, all behind `base.Venue`."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ValidationError

from cluster.venues.base import Venue
from cluster.venues.binance import Binance, BinanceSpec
from features.errors import ConfigError

_VENUES: dict[str, tuple[type[Any], type[BaseModel]]] = {
    Binance.name: (Binance, BinanceSpec),
}


def names() -> tuple[str, ...]:
    """The names that `get` knows, sorted."""
    return tuple(sorted(_VENUES))


def get(name: str, **options: Any) -> Venue:
    """The venue of this name with its own options, e.g. get("binance", trade_stream="aggTrade").

    Raises ConfigError for an unknown name (and says which one is nearest) or a wrong option.
    """
    if name not in _VENUES:
        near = difflib.get_close_matches(name.lower(), names(), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"unknown venue {name!r}", "venue", f"{hint}known venues: {', '.join(names())}")
    venue_type, spec_type = _VENUES[name]
    try:
        spec = spec_type(**options)
    except ValidationError as error:
        first = error.errors()[0]
        option = ".".join(str(part) for part in first["loc"])
        known = ", ".join(spec_type.model_fields)
        raise ConfigError(f"{option}: {first['msg']}", f"venue {name!r}", f"options are: {known}") from error
    venue: Venue = venue_type(spec)
    return venue
