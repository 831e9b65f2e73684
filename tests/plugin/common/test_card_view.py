"""What a checkpoint's card says at a glance."""

from __future__ import annotations

import pytest

from fctl_napari.model.classes import numbered_classes
from fctl_napari.model.config import Context
from fctl_napari.model.model_card import Card
from fctl_napari.model.presets import preset
from fctl_napari.plugin.common.card_view import describe_contexts


@pytest.mark.parametrize(
    ("contexts", "words"),
    [
        ((), "none (baseline)"),
        ((Context(name="local"), Context(name="medium", scale=2.0)), "tile, x2"),
        ((Context(name="local", scale=1.5), Context(name="large", scale="global")), "x1.5, whole image"),
    ],
)
def test_contexts_in_words(contexts: tuple[Context, ...], words: str) -> None:
    config = preset("fctl_lite", classes=3, contexts=contexts, ale="none")
    assert describe_contexts(Card(name="card", config=config, classes=numbered_classes(3))) == words
