"""The documentation page: OpenAPI as plain HTML, without scripts and without anything from elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from serve_app.problems import Kind

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} API</title>
<link rel="icon" href="/static/icon.svg">
<link rel="stylesheet" href="/static/docs.css">
</head>
<body>
<header>
<h1>{title} API</h1>
<p><a href="/">Forecasts</a> · <a href="/openapi.json">openapi.json</a></p>
</header>
<main>
{body}
</main>
</body>
</html>
"""


def docs_page(openapi: Mapping[str, Any], kinds: Iterable[Kind]) -> str:
    """The whole page. All text of the OpenAPI document is escaped."""
    operations = [
        (method, path, operation)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    ]
    contents = "".join(
        f'<li><a href="#{_anchor(method, path)}"><code>{method.upper()} {escape(path)}</code></a> '
        f"{escape(operation['summary'])}</li>"
        for method, path, operation in operations
    )
    parts = [
        _text(openapi["info"]["description"]),
        f'<nav aria-label="Contents"><ul>{contents}</ul></nav>',
        *(_operation(*each) for each in operations),
        "<h2>Problems</h2>",
        *(_problem(kind) for kind in kinds),
        "<h2>Objects</h2>",
        *(_schema(name, schema) for name, schema in openapi["components"]["schemas"].items()),
    ]
    return _PAGE.format(title=escape(openapi["info"]["title"]), body="\n".join(parts))


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = [
        f'<section id="{_anchor(method, path)}">',
        f'<h2><span class="method">{method.upper()}</span> <code>{escape(path)}</code></h2>',
        f"<p><strong>{escape(operation['summary'])}</strong></p>",
        _text(operation["description"]),
    ]
    if operation.get("parameters"):
        rows = [
            (_code(each["name"]), each["in"], _type(each["schema"]), _line(each["description"]))
            for each in operation["parameters"]
        ]
        parts.append(_table("Parameters", ("name", "in", "type", "meaning"), rows))
    if "requestBody" in operation:
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        parts.append(f"<p>Body: {_type(body)}</p>")
    parts.extend(_response(status, answer) for status, answer in operation["responses"].items())
    return "\n".join([*parts, "</section>"])


def _response(status: str, answer: Mapping[str, Any]) -> str:
    parts = [f"<details><summary><b>{status}</b> {escape(answer['description'])}</summary>"]
    for media_type, content in answer.get("content", {}).items():
        parts.append(f"<p><code>{media_type}</code>: {_type(content.get('schema', {}))}</p>")
        for name, example in content.get("examples", {}).items():
            parts.append(f"<p>Example: {escape(name)}</p>{_json(example['value'])}")
    return "\n".join([*parts, "</details>"])


def _problem(kind: Kind) -> str:
    return (
        f'<section id="problem-{kind.name}"><h3><code>{kind.uri}</code></h3>'
        f"<p><b>{kind.status}</b> {escape(kind.title)}. {_line(kind.meaning)}</p>"
        f"{_json(kind.example)}</section>"
    )


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = [
        (
            _code(field),
            _type(about) + ("" if field in required else ", optional"),
            _line(about.get("description", "")),
        )
        for field, about in schema.get("properties", {}).items()
    ]
    table = _table("Members", ("name", "type", "meaning"), rows)
    example = f"<p>Example:</p>{_json(schema['example'])}" if "example" in schema else ""
    return (
        f'<section id="{escape(name)}"><h3>{escape(name)}</h3>'
        f"{_text(schema.get('description', ''))}{table}{example}</section>"
    )


def _type(schema: Mapping[str, Any]) -> str:
    """A schema in a few words, with links to the objects."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(escape(json.dumps(each)) for each in schema["enum"])
    if "const" in schema:
        return escape(json.dumps(schema["const"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_type(schema['additionalProperties'])}"
    return escape(schema.get("type", "any"))


def _table(caption: str, heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f'<th scope="col">{each}</th>' for each in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _json(value: Any) -> str:
    # Text is an answer that is no JSON.
    shown = value if isinstance(value, str) else json.dumps(value, indent=2)
    return f'<pre tabindex="0">{escape(shown)}</pre>'


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _text(text: str) -> str:
    """Paragraphs of text, with `code` in backticks."""
    return "".join(f"<p>{_line(part)}</p>" for part in text.strip().split("\n\n") if part)


def _line(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _anchor(method: str, path: str) -> str:
    return re.sub(r"[^a-z]+", "-", f"{method}{path.lower()}").strip("-")
