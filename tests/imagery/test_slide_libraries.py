"""Slides that OpenSlide and wsidicom read, where they are installed (the extra ``slides``)."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers_slides import (
    jpeg2000,
    scan,
    tiles_of,
    write_dicom,
    write_jpeg2000,
    write_mirax,
    write_svs,
    write_vms,
    ycbcr,
)

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.open import open_image


@pytest.mark.parametrize("name", ["a.mrxs", "a.vms", "a.VMU"])
def test_without_openslide_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, "openslide", None)
    (tmp_path / name).write_bytes(b"\xff\xd8\xff\xe0 a picture of the glass, not the slide")
    with pytest.raises(InputError, match=r"needs OpenSlide to be read; .*fctl-napari\[slides\]"):
        open_image(tmp_path / name)


def test_without_wsidicom_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wsidicom", None)
    head = b"\0" * 128 + b"DICM"
    (tmp_path / "a.dcm").write_bytes(head + b"\2\0\2\0UI\x1e\x001.2.840.10008.5.1.4.1.1.77.1.6")
    with pytest.raises(InputError, match=r"needs wsidicom to be read; .*fctl-napari\[slides\]"):
        open_image(tmp_path / "a.dcm")
    with pytest.raises(InputError, match="needs wsidicom"):
        open_image(tmp_path)
    (tmp_path / "b.dcm").write_bytes(head + b"\2\0\2\0UI\x1a\x001.2.840.10008.5.1.4.1.1.2\0")
    with pytest.raises(InputError, match="is DICOM, but no slide"):
        open_image(tmp_path / "b.dcm")


@pytest.mark.parametrize("name", ["a.mrxs", "a.vms"])
def test_a_slide_whose_files_are_missing_is_one_sentence(tmp_path: Path, name: str) -> None:
    pytest.importorskip("openslide")
    (tmp_path / name).write_bytes(b"\xff\xd8\xff\xe0 a picture of the glass, not the slide")
    with pytest.raises(InputError, match=r"cannot be opened as a slide .*check that all of its files are there"):
        open_image(tmp_path / name)


def test_a_hamamatsu_slide_of_several_files(tmp_path: Path) -> None:
    pytest.importorskip("openslide")
    path, pixels = write_vms(tmp_path)
    image = open_image(path)
    assert [level.shape[:2] for level in image.levels[:2]] == [(320, 448), (160, 224)]
    assert (image.pixel_size, image.unit) == ((0.5, 0.5), "micrometer")
    with ThreadPoolExecutor(4) as pool:
        windows = [(10 * k, 20, 200, 448) for k in range(8)]
        for window, read in zip(windows, pool.map(image.read, windows), strict=True):
            assert np.array_equal(read, pixels[window[0] : window[2], window[1] : window[3]])
    assert [one.name for one in image.images] == ["slide", "macro"]
    assert open_image(f"{path}#image=1").shape == (64, 90)


def test_tifffile_and_openslide_agree_on_aperio(tmp_path: Path) -> None:
    openslide = pytest.importorskip("openslide")
    write_svs(tmp_path / "plain.svs")
    coded = [jpeg2000(ycbcr(tile)) for tile in tiles_of(scan())]
    write_jpeg2000(tmp_path / "coded.svs", 33003, coded, photometric="rgb")
    write_svs(tmp_path / "jpeg.svs", compression="jpeg", compressionargs={"level": 95})
    for path, off in ((tmp_path / "plain.svs", 0), (tmp_path / "coded.svs", 2), (tmp_path / "jpeg.svs", 3)):
        image, slide = open_image(path), openslide.OpenSlide(path)
        assert image.shape[::-1] == slide.dimensions
        other = np.asarray(slide.read_region((20, 30), 0, (200, 150)))[..., :3]
        assert np.abs(image.read((30, 20, 180, 220)).astype(int) - other).max() <= off
        assert image.pixel_size[0] == float(slide.properties["openslide.mpp-x"])


def test_a_dicom_slide_by_one_of_its_files_or_its_folder(tmp_path: Path) -> None:
    pytest.importorskip("wsidicom")
    pixels = write_dicom(tmp_path)
    for path in (tmp_path / "a-volume.dcm", tmp_path / "a-label.dcm", tmp_path):
        image = open_image(path)
        assert [level.shape[:2] for level in image.levels] == [(300, 420), (150, 210)]
        assert np.array_equal(image.read((10, 20, 290, 400)), pixels[10:290, 20:400])
        assert np.array_equal(image.read((0, 0, 150, 210), 1), pixels[::2, ::2])
        assert (image.pixel_size, image.unit) == (pytest.approx((0.25, 0.25)), "micrometer")
        assert [one.name for one in image.images] == ["slide", "label"]
    assert open_image(f"{tmp_path}/a-volume.dcm#image=1").shape == (64, 64)


def test_of_two_dicom_slides_in_a_folder_each_is_opened_by_a_file(tmp_path: Path) -> None:
    pytest.importorskip("wsidicom")
    write_dicom(tmp_path)
    write_dicom(tmp_path, "b", "1.2.3.5")
    assert open_image(tmp_path / "b-half.dcm").shape == (300, 420)
    with pytest.raises(InputError, match="holds 2 slides; give a file of one of them"):
        open_image(tmp_path)


def test_a_mirax_slide(tmp_path: Path) -> None:
    pytest.importorskip("openslide")
    path, pixels = write_mirax(tmp_path)
    image = open_image(path)
    assert image.shape == (256, 256)
    assert image.pixel_size == (0.24, 0.23)
    read = image.read_rgba((30, 40, 250, 250))
    scanned = np.ones((220, 210), bool)
    scanned[98:, 88:] = False
    assert np.array_equal(read[..., 3] > 0, scanned)
    assert np.array_equal(read[scanned, :3], pixels[30:250, 40:250][scanned])
    assert image.validity_source == "not scanned"
