"""The page of what is trusted names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "trust.md"


def test_each_line_names_a_test_that_is_there() -> None:
    rows = [row for row in PAGE.read_text("utf-8").splitlines() if row.startswith("| ") and "---" not in row]
    rows = [row for row in rows if not row.startswith("| it believes")]
    assert len(rows) > 40
    for row in rows:
        named = re.findall(r"`(test_\w+\.py)?(?:::(test_\w+))?`", row.split(" | ")[-1])
        named = [pair for pair in named if any(pair)]
        assert named or "*not seen*" in row, f"names no test: {row}"
        file = ""
        for name, test in named:
            file = name or file
            (found,) = TESTS.rglob(file)
            assert not test or f"def {test}(" in found.read_text("utf-8"), f"{file}::{test}"
