"""``fctl explain``, in this process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers_commands import Fctl
from PIL import Image

from fctl_napari.model.feature_ablation import Without
from fctl_napari.segmentation.jobs.explain import explain


@pytest.fixture
def picture(tmp_path: Path, make_rgb: Callable[..., np.ndarray]) -> Path:
    Image.fromarray(make_rgb(150, 180, seed=2)).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


@pytest.fixture
def fctl(fctl: Fctl) -> Fctl:
    return partial(fctl, "explain")


def test_a_pixel_is_explained_and_drawn(fctl: Fctl, picture: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    figure = tmp_path / "figure.png"
    places = (picture, 70, 80.5, "--checkpoint", tiny_checkpoint, "--device", "cpu", "--out", figure)
    code, out, _ = fctl(*places, "--without", "large", "--without", "gpe", "--channel", 2)
    assert code == 0
    assert Image.open(figure).width > 500
    lines = [line.split() for line in out.splitlines()]
    told = explain(
        picture, tiny_checkpoint, (70, 80.5), device="cpu", without=Without(frozenset({"large"}), gpe=True), channel=2
    )
    assert told.without is not None
    for name, p, q in zip(("red", "green", "blue"), told.probabilities, told.without.probabilities, strict=True):
        assert [name, f"{p:.4f}", f"{q:.4f}"] in lines
    weights = {c.name: c.weight.mean() for c in told.without.contexts}
    for context in told.contexts:
        row = [context.name, f"{context.gate:.3f}", f"{context.gamma:.3f}", f"{context.weight.mean():.3f}"]
        assert [*row, f"{weights.get(context.name, 0):.3f}"] in lines
    assert "without large, gpe: " in out
    assert out.rstrip().endswith(figure.name)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((150, 3), "lies outside its 150 x 180 px"),
        ((3, 3, "--without", "huge"), "no context 'huge' to leave out"),
        ((3, 3, "--out", "figure.jpg"), "PNG, SVG or PDF"),
        ((3, 3, "--channel", 999), "no channel 999"),
    ],
)
def test_what_cannot_be_explained_is_one_sentence(
    arguments: tuple[object, ...],
    words: str,
    fctl: Fctl,
    picture: Path,
    tiny_checkpoint: Path,
) -> None:
    code, out, err = fctl(picture, *arguments, "--checkpoint", tiny_checkpoint, "--device", "cpu")
    assert (code, out) == (2, "")
    assert err.startswith("fctl: ")
    assert err.count("\n") == 1
    assert words in err
