"""A report in a real browser: it draws, sorts, follows the choice of a symbol, and asks nobody."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from jobs.reporting.images import write_images
from jobs.reporting.live_report import write_live_report
from tests.unit.jobs.reporting.live_lakes import VENUE, live_lake

pytestmark = [pytest.mark.browser]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two symbols."""
    folder = tmp_path_factory.mktemp("report")
    lake, _ = live_lake(folder / "lake", 600, ("AAA", "B/B"))
    write_live_report(lake, [(VENUE, "AAA"), (VENUE, "B/B")], None, None, folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def chromium() -> str:
    """The browser of this machine."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("no chromium on this machine; Debian's package of that name brings it")
    return found


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """A headless one."""
    with sync_playwright() as playwright:
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        started = playwright.chromium.launch(executable_path=chromium, args=quiet)
        yield started
        started.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_it_draws_every_chart_without_a_complaint_or_a_request(
    report: Path, browser: Browser, width: int, scheme: str
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda one: complaints.append(one.text) if one.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    figures = page.locator("figure")
    assert figures.count() >= 6
    for place in range(figures.count()):
        figures.nth(place).scroll_into_view_if_needed()
        figures.nth(place).locator(".main-svg").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    _sorts(page)
    _chooses(page)
    assert complaints == []
    assert asked == [report.as_uri()]
    page.close()


def _sorts(page: Page) -> None:
    table = page.locator("#symbols table")
    button = table.get_by_role("button", name="Answers")
    for order in ("descending", "ascending"):
        button.click()
        assert button.locator("xpath=..").get_attribute("aria-sort") == order
        cells = [
            text.replace(",", "") for text in table.locator("tbody tr td:nth-child(8)").all_inner_texts()
        ]
        counts = [int(text) for text in cells]
        assert counts == sorted(counts, reverse=order == "descending")


def _chooses(page: Page) -> None:
    page.locator("#skill-view").select_option("3s: B/B")
    for chart in ("skill-chart", "coverage-chart"):
        assert page.locator(f"#{chart} figcaption").inner_text().startswith("B/B at 3s")


def test_images_are_drawn_one_by_one(report: Path, chromium: str, tmp_path: Path) -> None:
    one = tmp_path / "one.html"
    text = report.read_text()
    # One chart is enough to see that the browser draws: the others lose their mark.
    mark = '<figure id="up-chart" data-chart="">'
    one.write_text(text.replace(' data-chart="">', ">").replace(mark.replace(' data-chart=""', ""), mark))
    (drawn,) = write_images(one, tmp_path / "png", chromium)
    assert drawn.name == "one-up-chart.png"
    assert drawn.read_bytes().startswith(b"\x89PNG") and drawn.stat().st_size > 10_000
