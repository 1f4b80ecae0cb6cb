"""The catalogue: every feature there is, once.

    python -m features.catalogue > docs/features.md

To add a feature: write its op in `features/kernels`, give it a number in `opcodes` and a branch in
`run`, describe it in `price_features` or `flow_features`, write its plain reference in the tests
(they fail until it has one), and print the manual anew.
"""

from __future__ import annotations

import difflib
import sys

from features.definition import Feature
from features.errors import SpecError
from features.flow_features import FLOW_FEATURES
from features.price_features import PRICE_FEATURES

CATALOGUE: dict[str, Feature] = {entry.name: entry for entry in (*PRICE_FEATURES, *FLOW_FEATURES)}

_MARKS = (("may_lack", "may be unknown"), ("over_sessions", "goes on over sessions"))
_HEAD = """\
# Features

Written by `python -m features.catalogue`; edit the catalogue, not this page.

A feature is named in the configuration as `name` or `name:argument,argument`; arguments left out
take their defaults (`rsi` is `rsi:14`). Windows are counted in bars.

- c is the close of a bar, p its reference price (mid of the book, else the last price), r the log
  return of p over one bar. Logarithms are natural. Divisor of variances is n (ddof 0).
- A new session starts every feature anew, so no window reaches across sessions. Exceptions are
  marked "goes on over sessions".
- A feature is NaN until it is warm; the rule is given in bars of the session, that bar included.
  From then on it is finite for all prices above 0 and amounts of 0 or more (below 1e100, so that
  their squares can be summed). Exceptions are marked "may be unknown": NaN then means that the
  inputs are.
- One output has the spec as its name (`ema:20`); several add theirs (`macd:12,26,9.signal`).
- Averages of moves that have faded below 1e-200 count as 0; the rsi of such moves is 50.
"""


def find(name: str) -> Feature:
    """The entry of that name. Raises SpecError with the nearest name and all there are."""
    entry = CATALOGUE.get(name)
    if entry is None:
        near = difflib.get_close_matches(name, CATALOGUE, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise SpecError(f"unknown feature {name!r}", "features", f"{hint}there are: {', '.join(CATALOGUE)}")
    return entry


def markdown() -> str:
    """The manual page: every feature with its arguments, formula, warm-up and source."""
    return "\n".join([_HEAD, *(_section(entry) for entry in CATALOGUE.values())])


def _section(entry: Feature) -> str:
    probe = tuple(a.default if a.default is not None else max(a.low, 20) for a in entry.arguments)
    args = entry.complete(probe)
    outputs = [name for name in entry.outputs(args) if name]
    lines = [f"## {entry.name}", "", f"    {entry.formula}", ""]
    if entry.arguments:
        lines.append(f"- arguments: {'; '.join(a.text() for a in entry.arguments)}")
    if outputs:
        lines.append(f"- outputs: {', '.join(outputs)}")
    lines.append(f"- unit: {entry.unit}")
    lines.append(f"- reads: {', '.join(entry.inputs)}")
    spec = ",".join(f"{value:g}" for value in args)
    bars = entry.warm_bars(args)
    example = f"`{entry.name}:{spec}`" if spec else f"`{entry.name}`"
    lines.append(f"- warm: {example} at bar {bars} of a session")
    if entry.empty:
        lines.append(f"- special: {entry.empty}")
    marks = [text for mark, text in _MARKS if getattr(entry, mark)]
    if marks:
        lines.append(f"- {', '.join(marks)}")
    return "\n".join([*lines, f"- source: {entry.source}", ""])


if __name__ == "__main__":
    sys.stdout.write(markdown())
