"""The page in a real browser, on a running Tickcast."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.local_ray.conftest import SYMBOLS, Tickcast

pytestmark = [pytest.mark.ray, pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture
def page() -> Iterator[Page]:
    """A fresh page of headless Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine; Debian's package of that name brings it")
    with sync_playwright() as playwright:
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=chromium, args=quiet)
        yield browser.new_page(viewport={"width": 1280, "height": 900})
        browser.close()


def test_the_page_shows_every_symbol_live_and_asks_nobody_else(replayed: Tickcast, page: Page) -> None:
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    home = str(replayed.api.base_url)
    page.goto(home)
    for symbol in SYMBOLS:
        page.get_by_text(symbol, exact=True).first.wait_for(timeout=20_000)
    rows: Any = page.locator("tbody tr")
    assert rows.count() >= len(SYMBOLS)
    assert complaints == []
    assert [url for url in asked if not url.startswith(home.rstrip("/"))] == []


def test_the_page_fits_a_phone(replayed: Tickcast, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(str(replayed.api.base_url))
    page.get_by_text(SYMBOLS[0], exact=True).first.wait_for(timeout=20_000)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
