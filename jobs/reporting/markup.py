"""Pieces of HTML. All text that goes in is escaped here and nowhere else.

`Html` is markup that is done; any other string is text. What builds sections never writes a tag with a value
in it by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from jobs.reporting.wording import NOTHING

MOST_ROWS = 1_500
"""Rows of one table, so that a report of thousands of symbols can still be opened."""


class Html(str):
    """Markup that needs no escaping any more."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """One value in a table."""

    text: str
    value: float | None = None
    """What it is sorted by in a column of numbers, None last; other columns are sorted by their text."""
    tone: str = ""
    """"good", "bad", "warn" or "quiet"."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    title: str
    is_number: bool = True
    hint: str = ""
    """What it means, for whoever points at it or asks a screen reader."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report with a heading of its own; `identity` is unique in the page."""

    identity: str
    title: str
    body: Html


def tag(name: str, content: str = "", **attributes: str | None) -> Html:
    """An element; a trailing _ of an attribute's name is dropped, _ in it becomes -, None leaves it out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = content if isinstance(content, Html) else escape(content, quote=False)
    return Html(f"<{name}{written}>{inner}</{name}>")


def join(parts: Sequence[str]) -> Html:
    """Pieces one after the other."""
    return Html("".join(part if isinstance(part, Html) else escape(part, quote=False) for part in parts))


def paragraph(text: str, tone: str | None = None) -> Html:
    """A paragraph of text."""
    return tag("p", text, class_=tone)


def paragraphs(lines: Sequence[str], tone: str | None = None) -> Html:
    """A paragraph for each line."""
    return join([paragraph(line, tone) for line in lines])


def bullets(lines: Sequence[str]) -> Html:
    """A list of lines."""
    return tag("ul", join([tag("li", line) for line in lines]))


def details(summary: str, body: Html) -> Html:
    """Something that is opened to be seen."""
    return tag("details", join([tag("summary", summary), body]))


def definitions(values: Mapping[str, str]) -> Html:
    """Names and what they stand for."""
    pairs = [tag("div", join([tag("dt", name), tag("dd", text)])) for name, text in values.items()]
    return tag("dl", join(pairs), class_="settings")


def table(
    caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], most: int = MOST_ROWS
) -> Html:
    """A table that can be sorted by any column; the first cell of a row names it. No rows: a sentence.

    Beyond `most` rows the first are shown, and the caption says so.
    """
    if not rows:
        return paragraph(f"{caption.rstrip('.')}: nothing to show.", "quiet")
    if len(rows) > most:
        caption = f"{caption} The first {most:,} of {len(rows):,} rows."
    head = tag("tr", join([_heading(column) for column in columns]))
    body = join([_row(columns, cells) for cells in rows[:most]])
    inner = join([tag("caption", tag("span", caption)), tag("thead", head), tag("tbody", body)])
    framed = tag("table", inner, class_="sortable")
    # Whoever has no mouse must be able to reach what a narrow screen hides.
    return tag("div", framed, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _heading(column: Column) -> Html:
    button = tag("button", column.title, type="button", title=column.hint or None)
    return tag("th", button, scope="col", class_="number" if column.is_number else None)


def _row(columns: Sequence[Column], cells: Sequence[Cell]) -> Html:
    """A row; cells of numbers have what they are sorted by, by which report.css knows them too."""
    made = []
    for place, (column, cell) in enumerate(zip(columns, cells, strict=True)):
        key = None
        if column.is_number:
            key = "" if cell.value is None or cell.text == NOTHING else f"{cell.value:.9g}"
        name, scope = ("th", "row") if place == 0 else ("td", None)
        made.append(tag(name, cell.text, scope=scope, class_=cell.tone or None, data_key=key))
    return tag("tr", join(made))
