"""The pages load nothing from elsewhere, and the browser is told to hold them to it."""

from __future__ import annotations

import re
from importlib import resources

import httpx
import pytest

from serve_app import problems

WEB = sorted(file.name for file in (resources.files("serve_app") / "web").iterdir())
PAGES = ["/", "/docs"]


@pytest.mark.parametrize("path", [*PAGES, *(f"/static/{name}" for name in WEB)])
async def test_pages_and_files_have_their_headers(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    types = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "html": "text/html"}
    suffix = path.rpartition(".")[2] if "." in path else "html"
    assert answer.headers["content-type"].startswith(types[suffix])


@pytest.mark.parametrize("path", [*PAGES, *(f"/static/{name}" for name in WEB)])
async def test_nothing_is_loaded_from_elsewhere(client: httpx.AsyncClient, path: str) -> None:
    text = (await client.get(path)).text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|//[a-z0-9-]+\.[a-z]", text)
    assert "@import" not in text


@pytest.mark.parametrize("path", PAGES)
async def test_pages_have_no_inline_script_or_style(client: httpx.AsyncClient, path: str) -> None:
    text = (await client.get(path)).text
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", text)


@pytest.mark.parametrize("path", PAGES)
async def test_every_address_on_a_page_leads_somewhere(client: httpx.AsyncClient, path: str) -> None:
    text = (await client.get(path)).text
    anchors = set(re.findall(r'\sid="([^"]+)"', text))
    for address in re.findall(r'(?:href|src)="([^"]+)"', text):
        if address.startswith("#"):
            assert address[1:] in anchors
        else:
            assert (await client.get(address)).status_code == 200, address


async def test_a_file_that_the_browser_has_is_not_sent_again(client: httpx.AsyncClient) -> None:
    first = await client.get("/static/page.js")
    again = await client.get("/static/page.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_modules_of_the_page_are_all_there(client: httpx.AsyncClient) -> None:
    text = (await client.get("/static/page.js")).text + (await client.get("/static/table.js")).text
    imported = re.findall(r'from "\./([a-z]+\.js)"', text)
    assert len(imported) >= 3
    assert set(imported) <= set(WEB)


async def test_every_type_of_problem_leads_to_its_explanation(client: httpx.AsyncClient) -> None:
    docs = (await client.get("/docs")).text
    for kind in problems.KINDS:
        answer = await client.get(kind.uri)
        assert answer.status_code == 302
        anchor = answer.headers["location"].removeprefix("/docs#")
        assert f'id="{anchor}"' in docs


async def test_the_documentation_shows_every_route_and_escapes_its_text(client: httpx.AsyncClient) -> None:
    docs = (await client.get("/docs")).text
    for path in (await client.get("/openapi.json")).json()["paths"]:
        assert f"<code>{path}</code>" in docs
    assert "{symbol}" in docs and "&quot;symbol&quot;" in docs


async def test_the_page_is_a_table_for_screen_readers_and_honest(client: httpx.AsyncClient) -> None:
    text = " ".join((await client.get("/")).text.split())
    assert "<caption" in text and 'scope="col"' in text and 'aria-live="polite"' in text
    assert "skill against naive; no promise of profit" in text
