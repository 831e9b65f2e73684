"""Conversion keeps every pixel, goes on where it stopped, and touches nothing that is not its own."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from helpers_progress import stop_after
from hypothesis import given, settings
from hypothesis import strategies as st
from ome_zarr_models.v05.image import Image as NgffImage
from PIL import Image

from fctl_napari.exceptions import Cancelled, InputError, OutputError
from fctl_napari.imagery import convert as convert_module
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.halving import halve
from fctl_napari.imagery.open import open_image


def picture(height: int, width: int, channels: int = 3, dtype: Any = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, (height, width, channels)).astype(dtype)


def write_tiff(path: Path, image: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(path, image, photometric="minisblack", planarconfig="contig", **options)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@settings(max_examples=12)
@given(
    height=st.integers(1, 1300),
    width=st.integers(1, 1300),
    channels=st.sampled_from([1, 3, 4, 6]),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float32]),
    chunk=st.sampled_from([100, 512]),
)
def test_every_pixel_comes_through(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, channels: int, dtype: Any, chunk: int
) -> None:
    image = picture(height, width, channels, dtype)
    out = convert(pyramid_from_array(image), tmp_path_factory.mktemp("c") / "i.ome.zarr", chunk=chunk)
    result = open_image(out)
    assert result.dtype == dtype
    assert result.factors == [(2**k, 2**k) for k in range(len(result.levels))]
    for level in result.levels:
        assert np.array_equal(level[...], image)
        image = halve(image)
    assert max(result.levels[-1].shape[:2]) <= 1024


@pytest.mark.parametrize("options", [{"tile": (304, 208)}, {"rowsperstrip": 7}, {}])
@pytest.mark.parametrize("limits", [(1, 1), (10**6, 10**5), (2**25, 2**29)])
def test_pieces_of_any_size_give_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], limits: tuple[int, int]
) -> None:
    image = picture(1100, 1250)
    source = open_image(write_tiff(tmp_path / "i.tif", image, compression="zlib", **options))
    monkeypatch.setattr(convert_module, "BLOCK_BYTES", limits[0])
    monkeypatch.setattr(convert_module, "MOST_BYTES", limits[1])
    counts: list[tuple[int, int]] = []
    result = open_image(convert(source, tmp_path / "o", chunk=256, progress=lambda *count: counts.append(count)))
    assert np.array_equal(result.levels[0][...], image)
    assert np.array_equal(result.levels[1][...], halve(image))
    assert counts == sorted(counts)
    assert counts[-1] == (5 * 5 + 3 * 3, 5 * 5 + 3 * 3)


def test_it_resumes_after_every_stop(tmp_path: Path) -> None:
    """Stopped after each piece: none is written twice, and the result is the same to the byte."""
    source = open_image(write_tiff(tmp_path / "i.tif", picture(1300, 700), tile=(128, 128)))
    expected = contents(convert(source, tmp_path / "whole", chunk=128))
    out = tmp_path / "i.ome.zarr"
    stops, done = 0, [0]
    while True:
        counts: list[tuple[int, int]] = []
        try:
            convert(source, out, chunk=128, threads=1, progress=stop_after(1, counts))
            break
        except Cancelled:
            stops += 1
            assert stops == 1 or counts[0][0] > done[-1], "it begins after the piece that the one before finished"
            done.append(counts[0][0])
            with pytest.raises(InputError, match="not finished"):
                open_image(out)
    assert stops > 10
    assert contents(out) == expected


def test_it_resumes_after_a_kill(tmp_path: Path) -> None:
    source = write_tiff(tmp_path / "i.tif", picture(1300, 700), tile=(128, 128))
    out = tmp_path / "i.ome.zarr"
    script = f"""
        import os, signal
        from fctl_napari.imagery.convert import convert
        from fctl_napari.imagery.open import open_image

        def progress(done, total):
            if done > total // 2:
                os.kill(os.getpid(), signal.SIGKILL)

        convert(open_image({str(source)!r}), {str(out)!r}, chunk=128, progress=progress)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert killed.returncode == -signal.SIGKILL
    written: list[int] = []
    convert(open_image(source), out, chunk=128, progress=lambda done, _: written.append(done))
    total = 11 * 6 + 6 * 3
    assert written[0] > total // 3
    assert written[-1] == total
    assert contents(out) == contents(convert(open_image(source), tmp_path / "whole", chunk=128))


def test_a_finished_conversion_is_left_as_it_is(tmp_path: Path) -> None:
    Image.fromarray(picture(60, 70)).save(tmp_path / "i.png")
    out = convert(open_image(tmp_path / "i.png"), tmp_path / "o")
    times = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    assert convert(open_image(tmp_path / "i.png"), out) == out
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == times


def test_something_else_is_never_written_over(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "i.tif", picture(60, 70))
    source = open_image(path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("mine")
    zarr.create_group(tmp_path / "group")
    other = convert(pyramid_from_array(picture(60, 70)), tmp_path / "other")
    mine = convert(source, tmp_path / "changed")
    os.utime(path, ns=(1, 1))
    source = open_image(path)
    for taken in (tmp_path / "file", tmp_path / "folder", tmp_path / "group", other, mine):
        before = contents(taken) if taken.is_dir() else taken.read_bytes()
        with pytest.raises(OutputError, match="exists already"):
            convert(source, taken)
        assert (contents(taken) if taken.is_dir() else taken.read_bytes()) == before


def test_a_conversion_that_was_cut_short_does_not_block_that_of_the_mended_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert_module, "BLOCK_BYTES", 2000)
    path, out = write_tiff(tmp_path / "i.tif", picture(160, 70), tile=(16, 16)), tmp_path / "o.ome.zarr"
    other = write_tiff(tmp_path / "other.tif", picture(60, 70))
    with pytest.raises(Cancelled):
        convert(open_image(path), out, chunk=16, threads=1, progress=stop_after(12))
    with pytest.raises(OutputError, match=r"o\.ome\.zarr: holds an unfinished conversion of .*i\.tif; choose another"):
        convert(open_image(other), out)
    write_tiff(path, picture(150, 60), tile=(16, 16))
    whole = contents(convert(open_image(path), tmp_path / "whole", chunk=16))
    assert contents(convert(open_image(path), out, chunk=16)) == whole
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".o.ome.zarr.")]
    with pytest.raises(OutputError, match="exists already and is something else"):
        convert(open_image(other), out)


def test_range_and_bands_of_the_last_call_count(tmp_path: Path) -> None:
    path, out = write_tiff(tmp_path / "i.tif", picture(60, 70, channels=4).astype(np.uint16)), tmp_path / "o.ome.zarr"
    for shown in ({"value_range": (0, 9), "bands": (0, 1, 2)}, {"value_range": (0, 3000), "bands": (3, 1, 0)}):
        image = open_image(convert(open_image(path, **shown), out))
        expected = open_image(path, **shown)
        assert (image.value_range, image.bands) == (expected.value_range, expected.bands)
        np.testing.assert_array_equal(image.read((0, 0, 60, 70)), expected.read((0, 0, 60, 70)))


def test_an_unfinished_array_begins_again(tmp_path: Path) -> None:
    """Nothing tells whether it is the same array."""
    one, other = picture(1200, 100), picture(1200, 100) + 1
    with pytest.raises(Cancelled):
        convert(pyramid_from_array(one), tmp_path / "o", progress=stop_after(2))
    out = convert(pyramid_from_array(other), tmp_path / "o")
    assert np.array_equal(open_image(out).levels[0][...], other)


def test_range_and_bands_go_along(tmp_path: Path) -> None:
    source = pyramid_from_array(picture(30, 40, 6, np.uint16), value_range=(0, 200), bands=(4, 2, 0))
    result = open_image(convert(source, tmp_path / "o"))
    assert (result.value_range, result.bands) == ((0, 200), (4, 2, 0))
    assert np.array_equal(result.read((0, 0, 30, 40)), source.read((0, 0, 30, 40)))
    assert open_image(tmp_path / "o", bands=(0, 0, 0)).bands == (0, 0, 0)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_metadata_is_ngff(tmp_path: Path, channels: int) -> None:
    source = pyramid_from_array(picture(1100, 40, channels))
    source.pixel_size, source.unit = (0.5, 0.25), "meter"
    image = NgffImage.from_zarr(zarr.open_group(convert(source, tmp_path / "o"), mode="r"))
    multiscale = image.ome_attributes.multiscales[0]
    assert [axis.name for axis in multiscale.axes] == ["c", "y", "x"]
    finer, coarser = multiscale.datasets
    assert finer.coordinateTransformations[0].scale == [1, 0.5, 0.25]
    assert coarser.coordinateTransformations[0].scale == [1, 1, 0.5]
    # The centre of the first coarser px lies between the first two finer ones.
    assert coarser.coordinateTransformations[1].translation == [0, 0.25, 0.125]


def test_a_damaged_source_is_said_so(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "i.tif", picture(200, 200), tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path) as file:
        offset, count = file.pages[0].dataoffsets[-1], file.pages[0].databytecounts[-1]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = b"x" * count
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        convert(open_image(path), tmp_path / "o")


def test_a_full_disk_is_said_so_and_work_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_image(write_tiff(tmp_path / "i.tif", picture(300, 300), tile=(64, 64)))
    original = zarr.Array.__setitem__
    calls = iter(range(100))

    def full(self: Any, key: Any, value: Any) -> None:
        if next(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(self, key, value)

    monkeypatch.setattr(convert_module, "BLOCK_BYTES", 1)
    monkeypatch.setattr(zarr.Array, "__setitem__", full)
    with pytest.raises(OutputError, match="disk is full"):
        convert(source, tmp_path / "o", chunk=64)
    assert np.array_equal(open_image(convert(source, tmp_path / "o", chunk=64)).levels[0][...], picture(300, 300))


@pytest.mark.parametrize("damage", ["another value", "half a chunk", "no chunk"])
@pytest.mark.parametrize("level", [0, 1])
def test_what_does_not_read_back_is_said_and_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str, level: int
) -> None:
    """A disk that keeps something else: the next call, on a good one, mends it."""
    image = picture(1100, 300)
    source = open_image(write_tiff(tmp_path / "i.tif", image, tile=(64, 64)))
    out = tmp_path / "o"
    original = zarr.Array.__setitem__

    def faulty(self: Any, key: Any, value: Any) -> None:
        if self.path.strip("/") != str(level):
            return original(self, key, value)
        original(self, key, value + 1 if damage == "another value" else value)
        chunk = next(
            path for path in (out / str(level) / "c").rglob("*") if path.is_file() and path.suffix != ".partial"
        )
        if damage == "half a chunk":
            chunk.write_bytes(chunk.read_bytes()[:100])
        elif damage == "no chunk":
            chunk.unlink()

    with monkeypatch.context() as patched:
        patched.setattr(zarr.Array, "__setitem__", faulty)
        with pytest.raises(OutputError, match=f"level {level} do not read back") as raised:
            convert(source, out, chunk=256)
    assert str(raised.value).startswith(str(out))
    result = open_image(convert(source, out, chunk=256))
    assert np.array_equal(result.levels[0][...], image)
    assert np.array_equal(result.levels[1][...], halve(image))


def test_nan_reads_back(tmp_path: Path) -> None:
    image = np.full((20, 30, 1), np.nan, np.float32)
    result = open_image(convert(pyramid_from_array(image), tmp_path / "o"), value_range=(0, 1))
    assert np.isnan(result.levels[0][...]).all()


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_any_number_of_threads_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    """One piece after the other, or many at once: each is counted once, in order."""
    source = pyramid_from_array(picture(1300, 700))
    monkeypatch.setattr(convert_module, "BLOCK_BYTES", 1)
    counts: list[int] = []
    out = convert(source, tmp_path / "o", chunk=128, threads=threads, progress=lambda done, _: counts.append(done))
    assert counts == sorted(set(counts))
    for level, expected in zip(open_image(out).levels, source.levels, strict=True):
        assert np.array_equal(level[...], expected[...])


def test_a_finished_array_is_known_by_all_its_pixels(tmp_path: Path) -> None:
    """Sampled pixels would not do: these images are larger than what is sampled whole."""
    image = np.zeros((1500, 1500), np.uint8)
    out = convert(pyramid_from_array(image), tmp_path / "o")
    written = (out / "zarr.json").read_bytes()
    assert convert(pyramid_from_array(image), out) == out
    assert (out / "zarr.json").read_bytes() == written
    image[700, 3] = 1
    with pytest.raises(OutputError, match="holds other px than this array"):
        convert(pyramid_from_array(image), out)


def test_an_array_that_is_placed_later_has_its_place(tmp_path: Path) -> None:
    image, place = picture(30, 40), Georeference("EPSG:32633", (1.0, 0.0, 4.0, 0.0, -1.0, 9.0))
    out = convert(pyramid_from_array(image), tmp_path / "o")
    assert open_image(out).georeference is None
    convert(pyramid_from_array(image, georeference=place), out)
    assert open_image(out).georeference == place
