"""The whole page: its parts in order, with style, script and Plotly inside. It asks nobody for anything.

A policy in its head forbids the browser every request, so that a report can be opened anywhere and says
nothing to anyone. One page is about 5 MB, nearly all of it Plotly.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile

from plotly.offline import get_plotlyjs

from features.errors import ConfigError
from jobs.reporting.markup import Html, Section, join, paragraph, tag

_HERE = Path(__file__).parent
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "font-src data:; base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True, slots=True)
class Page:
    """A report, ready to be written."""

    title: str
    lead: str
    """One line below the title: what, where, when."""
    sections: Sequence[Section]
    end: str = ""
    """The last line: what made it."""

    def html(self) -> str:
        """The whole file as text."""
        head = [
            Html('<meta charset="utf-8">'),
            Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            Html('<meta name="color-scheme" content="light dark">'),
            tag("title", self.title),
            tag("style", Html(_asset("report.css"))),
        ]
        skip = tag("a", "Skip to the contents", href="#contents", class_="skip")
        header = tag("header", join([tag("h1", self.title), paragraph(self.lead, "lead")]))
        links = [tag("li", tag("a", one.title, href=f"#{one.identity}")) for one in self.sections]
        contents = tag("nav", tag("ul", join(links)), aria_label="Contents")
        main = tag("main", join([_section(one) for one in self.sections]), id="contents")
        none = tag(
            "noscript", paragraph("Charts need JavaScript; all tables and verdicts are here without it.")
        )
        body = [skip, header, contents, none, main, tag("footer", paragraph(self.end, "quiet"))]
        scripts = [tag("script", Html(_plotly())), tag("script", Html(_asset("report.js")))]
        content = join([tag("head", join(head)), tag("body", join(body + scripts))])
        return f"<!doctype html>\n{tag('html', content, lang='en')}\n"

    def write(self, path: Path) -> int:
        """Write the file, whole or not at all; its size in bytes. Raises ConfigError where it can't be."""
        data = self.html().encode()
        part = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
                part = Path(file.name)
                file.write(data)
            part.chmod(0o644)
            os.replace(part, path)
        except OSError as error:
            raise ConfigError(
                f"the report can't be written: {error}", str(path), "use another --out"
            ) from None
        finally:
            if part is not None:
                part.unlink(missing_ok=True)
        return len(data)


def _section(one: Section) -> Html:
    heading = tag("h2", one.title, id=f"{one.identity}-heading")
    return tag(
        "section", join([heading, one.body]), id=one.identity, aria_labelledby=f"{one.identity}-heading"
    )


@cache
def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


@cache
def _plotly() -> str:
    return str(get_plotlyjs()).replace("</script", "<\\/script")
