"""Counts with their nouns."""

from __future__ import annotations

import pytest

from fctl_napari.words import LONGEST_NAME, count_of, plain_name


@pytest.mark.parametrize(
    ("count", "noun", "right"),
    [
        (0, "tile", "0 tiles"),
        (1, "corrected region", "1 corrected region"),
        (12345, "corrected region", "12,345 corrected regions"),
        (1, "forward pass", "1 forward pass"),
        (2, "forward pass", "2 forward passes"),
    ],
)
def test_a_noun_follows_its_count(count: int, noun: str, right: str) -> None:
    assert count_of(count, noun) == right


def test_a_name_from_elsewhere_fits_a_line() -> None:
    assert plain_name(" low\nbush\x1b[31m ") == "low bush [31m"
    assert plain_name("Straße 7") == "Straße 7"
    assert plain_name("\x00\n") == ""
    assert len(plain_name("a" * 5000)) == LONGEST_NAME
