"""Review of a map region by region, whose marks are those of the window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fctl_napari as fctl
from fctl_napari.evaluation.review_marks import Marks
from fctl_napari.exceptions import Cancelled, InputError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.open import open_image
from fctl_napari.notebook.painting import Painting
from fctl_napari.notebook.reviewing import Reviewing
from fctl_napari.notebook.viewed_map import ViewedMap
from fctl_napari.segmentation.store.store import Segmentation

SHAPE = (600, 800)


@pytest.fixture
def reviewed(tmp_path: Path, make_segmentation: Callable[..., Segmentation]) -> tuple[ViewedMap, Path]:
    """A map that is red on the left and green on the right; on the left the ground truth has two green squares."""
    scene = convert(
        pyramid_from_array(np.full((*SHAPE, 3), 90, np.uint8), name="scene"), tmp_path / "scene.ome.zarr", chunk=256
    )
    confidence = np.full(SHAPE, 250, np.uint8)
    confidence[20:60, 20:60] = 100
    confidence[520:590, 700:760] = 80
    made = tmp_path / "scene.made.fctl.ome.zarr"
    labels = np.ones(SHAPE, np.uint8)
    labels[:, 400:] = 2
    store = make_segmentation(labels, confidence=confidence, image=open_image(scene), path=made)
    truth = labels - np.uint8(1)
    truth[300:310, 100:110] = 1
    truth[400:450, 300:350] = 1
    Image.fromarray(truth).save(tmp_path / "truth.png")
    return ViewedMap.of(fctl.Map(store.path), None), tmp_path / "truth.png"


def test_errors_are_gone_through_marked_and_stay_marked(reviewed: tuple[ViewedMap, Path]) -> None:
    viewed, truth = reviewed
    review = Reviewing(viewed, truth, lambda: None)
    assert review.kinds == ["errors", "doubts", "next"]
    told = review.find("errors")
    assert (told["count"], told["left"], told["region"]) == (2, 2, None)
    first = review.step(1)["region"]
    assert first["window"] == [400, 300, 450, 350]
    assert (first["pixels"], first["is"], first["called"]) == (2500, "green", "red")
    assert review.mark("truth is wrong")["region"]["mark"] == "truth is wrong"
    assert review.step(1)["region"]["window"] == [300, 100, 310, 110]
    assert review.step(1)["note"] == "That was the last one."
    assert review.step(-1)["note"] == "That was the first one."  # the other one is marked

    anew = Reviewing(viewed, truth, lambda: None)  # another kernel, or the window
    assert anew.find("errors")["left"] == 1
    assert anew.step(1)["region"]["window"] == [300, 100, 310, 110]
    assert len(Marks.of_segmentation(viewed.store)) == 1


def test_doubts_need_no_ground_truth(reviewed: tuple[ViewedMap, Path]) -> None:
    review = Reviewing(reviewed[0], None, lambda: None)
    assert review.kinds == ["doubts", "next"]
    assert review.find("doubts")["count"] == 2
    region = review.step(1)["region"]
    assert region["window"] == [520, 700, 590, 760]  # the least sure first
    assert region["confidence"] == pytest.approx(80 / 255)
    with pytest.raises(InputError, match="no ground truth"):
        review.mark("truth is wrong")
    with pytest.raises(InputError, match="ground truth"):
        review.find("errors")


def test_where_next_follows_what_is_painted(reviewed: tuple[ViewedMap, Path]) -> None:
    viewed = reviewed[0]
    painting = Painting(viewed, "ann")
    review = Reviewing(viewed, None, painting.there)
    assert review.find("next")["count"] == 2
    first = review.step(1)["region"]
    assert first["window"] == [520, 700, 590, 760]
    changed = painting.accept(review.area())  # all of it is right
    assert changed == (520, 700, 590, 760)
    review.edited(changed)
    told = review.step(1)
    assert told["count"] == 1
    assert told["region"]["window"] == [20, 20, 60, 60]
    assert review.find("next")["count"] == 1  # as a new list says


def test_the_px_of_an_error_are_accepted_alone(reviewed: tuple[ViewedMap, Path]) -> None:
    viewed, truth = reviewed
    painting = Painting(viewed, "ann")
    review = Reviewing(viewed, truth, painting.there)
    review.find("errors")
    review.step(1)
    painting.accept(review.area())
    there = painting.there()
    assert there is not None
    assert there.area_by_class()["red"] == 2500


def test_looking_is_given_up_when_it_is_not_wanted(reviewed: tuple[ViewedMap, Path]) -> None:
    def stop(_done: int, _total: int) -> None:
        raise Cancelled

    review = Reviewing(reviewed[0], None, lambda: None)
    with pytest.raises(Cancelled):
        review.find("doubts", stop)
    with pytest.raises(InputError, match="Find"):
        review.step(1)
