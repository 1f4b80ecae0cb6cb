from __future__ import annotations

from pathlib import Path

from features.bars import BAR_COLUMNS
from features.catalogue import CATALOGUE, markdown


def test_the_manual_page_is_what_the_catalogue_prints() -> None:
    page = Path(__file__).parents[3] / "docs" / "features.md"
    assert page.read_text() == markdown(), "run: python -m features.catalogue > docs/features.md"


def test_every_entry_reads_columns_that_there_are() -> None:
    known = {*BAR_COLUMNS, "start_ns", "end_ns"}
    assert {name for entry in CATALOGUE.values() for name in entry.inputs} <= known


def test_every_entry_says_what_it_is() -> None:
    for entry in CATALOGUE.values():
        assert entry.formula and entry.unit and entry.source and entry.inputs, entry.name
