"""States of images, as their files show them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.evaluation.error_regions import Region
from fctl_napari.evaluation.review_marks import Marks
from fctl_napari.imagery.open import open_image
from fctl_napari.plugin.images.states import ImageState, read_state
from fctl_napari.segmentation.store.store import Segmentation

Make = Callable[..., Segmentation]


@pytest.fixture
def result(tiles: Path, make_segmentation: Make) -> Segmentation:
    """A result of the first image that is whole."""
    return make_segmentation(
        np.ones((100, 120), np.uint8), path=tiles / "a.net.fctl.ome.zarr", image=open_image(tiles / "a.png")
    )


def test_an_image_without_files_is_untouched(tiles: Path) -> None:
    state = read_state(str(tiles / "a.png"), None)
    assert (state.word(), state.sentence()) == ("", "not segmented yet")


def test_a_result_counts_if_it_is_of_the_image(tiles: Path, result: Segmentation, make_segmentation: Make) -> None:
    make_segmentation(
        np.ones((100, 120), np.uint8), path=tiles / "c.net.fctl.ome.zarr", image=open_image(tiles / "a.png")
    )
    assert read_state(str(tiles / "a.png"), None).word() == "segmented"
    assert read_state(str(tiles / "c.png"), None).word() == ""


def test_the_result_of_the_chosen_checkpoint_counts_first(
    tiles: Path, result: Segmentation, make_segmentation: Make
) -> None:
    other = make_segmentation(
        np.ones((100, 120), np.uint8), path=tiles / "a.other.fctl.ome.zarr", image=open_image(tiles / "a.png")
    )
    other.facts["checkpoint"]["hash"] = "chosen"
    other.labels.set_attributes({"fctl": other.facts})
    other._done_array[:] = 0
    assert read_state(str(tiles / "a.png"), None).word() == "segmented"
    assert read_state(str(tiles / "a.png"), "chosen").word() == ""


@pytest.mark.parametrize(("share", "word"), [(0.001, "1% segmented"), (0.999, "99% segmented"), (1.0, "segmented")])
def test_a_part_is_never_all_or_nothing(share: float, word: str) -> None:
    assert ImageState(share=share).word() == word


def test_marks_and_corrections_are_seen(tiles: Path, result: Segmentation) -> None:
    location, image = str(tiles / "a.png"), open_image(tiles / "a.png")
    region = Region((5, 5, 9, 9), (5, 5), 16, 0, 1, 0.5)
    Marks.of_segmentation(result).set(region, "done")
    assert read_state(location, None).word() == "reviewed"
    with Corrections.create(tiles / "a.corrections.ome.zarr", image, result.class_table) as corrections:
        assert read_state(location, None).word() == "reviewed"
        corrections.write(0, 0, np.full((9, 9), 255, np.uint8), author="ann")
        assert read_state(location, None).word() == "reviewed"
        corrections.write(0, 0, np.full((9, 9), 1, np.uint8), author="ann")
        state = read_state(location, None)
    assert state.word() == "corrected"
    assert state.sentence() == f"segmented by {state.network}, 1 region reviewed, corrected"
    assert read_state(str(tiles / "c.png"), None).word() == ""


def test_what_cannot_be_opened_is_its_sentence(tiles: Path) -> None:
    for name in ("b.png", "none.tif"):
        state = read_state(str(tiles / name), None)
        assert state.word() == "not readable"
        assert name in state.sentence()
