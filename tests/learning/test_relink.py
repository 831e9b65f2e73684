"""Corrections whose image is another one now: linked to it, in place or in a copy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands import Fctl
from correcting import SHAPE, TABLE, blank, painted
from PIL import Image

from fctl_napari.errors import InputError, OtherImageError, OutputError
from fctl_napari.imagery.formats import open_image
from fctl_napari.learning import relink as relinking
from fctl_napari.learning.corrections import Corrections
from fctl_napari.learning.relink import copy_for, relink
from fctl_napari.segmentation.identity import same_image

BEFORE, NOW = blank(seed=1), blank(seed=2)


@pytest.fixture
def corrections(tmp_path: Path) -> Path:
    path = tmp_path / "c.ome.zarr"
    with Corrections.create(path, BEFORE, TABLE) as there:
        there.write(10, 20, np.full((30, 40), 2, np.uint8), author="ann")
        there.write(20, 20, np.full((5, 5), 255, np.uint8), author="bob")
    return path


def test_they_are_refused_until_they_are_linked(corrections: Path) -> None:
    before = painted(Corrections.open(corrections))
    with pytest.raises(OtherImageError, match=r"another image \(blank with other pixels\); choose another name, or"):
        Corrections.open(corrections, image=NOW)
    relink(corrections, NOW)
    with Corrections.open(corrections, "r+", image=NOW) as there:
        assert np.array_equal(painted(there), before)
        assert there.undo() is not None  # the history came along
        assert there.redo() is not None
    relink(corrections, NOW)  # says nothing new
    relink(corrections, BEFORE)
    facts = Corrections.open(corrections, image=BEFORE).facts
    assert [same_image(facts["relinked"][k], image) for k, image in enumerate((BEFORE, NOW))] == [True, True]
    assert len(facts["relinked"]) == 2


def test_a_copy_leaves_the_others_alone(corrections: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.ome.zarr"
    copy_for(corrections, copy, NOW)
    with Corrections.open(copy, "r+", image=NOW) as there:
        assert np.array_equal(painted(there), painted(Corrections.open(corrections, image=BEFORE)))
        there.write(100, 100, np.full((5, 5), 1, np.uint8), author="ann")
    assert Corrections.open(corrections).read((100, 100, 101, 101)) == 0
    with pytest.raises(OutputError, match=r"copy\.ome\.zarr: exists; choose another name"):
        copy_for(corrections, copy, NOW)


def test_a_copy_that_fails_leaves_nothing(corrections: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(relinking, "_link", full)
    with pytest.raises(OutputError, match="the disk is full"):
        copy_for(corrections, tmp_path / "copy.ome.zarr", NOW)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["c.ome.zarr"]


def test_files_that_cannot_be_copied_are_told_in_one_sentence(corrections: Path, tmp_path: Path) -> None:
    (corrections / "0" / "c" / "0" / "broken").symlink_to("nowhere")
    with pytest.raises(OutputError, match=r"copy\.ome\.zarr: cannot be copied"):
        copy_for(corrections, tmp_path / "copy.ome.zarr", NOW)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["c.ome.zarr"]


def test_another_size_cannot_be_linked(corrections: Path, tmp_path: Path) -> None:
    smaller = blank((SHAPE[0], SHAPE[1] - 1))
    for link in (lambda: relink(corrections, smaller), lambda: copy_for(corrections, tmp_path / "o", smaller)):
        with pytest.raises(InputError, match="size, so begin new ones"):
            link()
    with pytest.raises(OtherImageError, match=r"px where this image has \d+ x \d+"):
        Corrections.open(corrections, image=smaller)


def test_they_are_not_linked_while_somebody_paints(corrections: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fctl_napari.segmentation.store_place.LOCK_TIMEOUT", 0)
    with Corrections.open(corrections, "r+"), pytest.raises(OutputError, match="in use"):
        relink(corrections, NOW)


def test_the_command_line_relinks(corrections: Path, fctl: Fctl, tmp_path: Path) -> None:
    image = tmp_path / "now.png"
    Image.fromarray(np.full((*SHAPE, 3), 2, np.uint8)).save(image)
    done = fctl("corrections", "relink", corrections, image, "--copy", tmp_path / "copy.ome.zarr")
    assert done.code == 0, done.err
    assert same_image(Corrections.open(tmp_path / "copy.ome.zarr").facts["image"], open_image(image))
    assert not same_image(Corrections.open(corrections).facts["image"], open_image(image))
    assert fctl("corrections", "relink", corrections, image).code == 0
    assert same_image(Corrections.open(corrections).facts["image"], open_image(image))
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(image)
    assert "belong to an image of their own size" in fctl("corrections", "relink", corrections, image).sentence()
