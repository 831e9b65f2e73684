"""The page of the keys is the sheet that the window shows."""

from __future__ import annotations

import re
from pathlib import Path

from fctl_napari.plugin.dock.key_sheet import SHEET

PAGE = Path(__file__).parents[2] / "docs" / "keys.md"


def test_the_page_of_the_keys_is_the_sheet_of_the_window() -> None:
    shown: dict[str, dict[str, str]] = {}
    for section in PAGE.read_text("utf-8").split("\n## ")[1:]:
        title = section.splitlines()[0]
        shown[title] = dict(re.findall(r"(?m)^\| (.+?) \| (.+?) \|$", section)[1:])
        shown[title].pop("---", None)
    assert shown == {tab: dict(keys) for tab, keys in SHEET.items()}
