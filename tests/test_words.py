"""Counts with their nouns."""

from __future__ import annotations

import pytest

from fctl_napari.words import count_of


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
