"""The cache folder: what counts as its own, who uses it, what is removed, and its limit."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers_commands import Fctl
from PIL import Image

from fctl_napari.cache.clearing import clear_cache
from fctl_napari.cache.entries import entries, entry_path, folder_size
from fctl_napari.cache.limit import cache_limit, limit_path, make_room
from fctl_napari.cache.use import in_use
from fctl_napari.exceptions import ConfigError, InputError, OutputError
from fctl_napari.exporting.export import export
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.labels.ground_truth_levels import with_levels
from fctl_napari.imagery.naming import digest
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid_size import estimated_bytes, most_bytes
from fctl_napari.segmentation.store.store import Segmentation

Make = Callable[..., Segmentation]
PIXELS = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)


@pytest.fixture
def pyramid(cache: Path, tmp_path: Path) -> Callable[..., Path]:
    """``pyramid(name, days)``: a pyramid in the cache of a file, used so many days ago."""

    def make(name: str = "a", days: float = 0) -> Path:
        file = tmp_path / f"{name}.png"
        Image.fromarray(PIXELS).save(file)
        out = convert(open_image(file), cache / f"{name}-{digest(file)}.ome.zarr", chunk=128)
        then = out.stat().st_mtime - 86400 * days
        os.utime(out, (then, then))
        return out

    return make


@pytest.fixture
def other_process() -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """``other_process(image)``: a process that has opened an image."""
    running = []

    def begin(image: Path) -> subprocess.Popen[str]:
        script = (
            f"from fctl_napari.imagery.open import open_image\nimage = open_image({str(image)!r})\ninput('ready\\n')"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.wait()


def test_only_what_can_be_made_again_is_its_own(
    cache: Path, pyramid: Callable[..., Path], make_segmentation: Make, tmp_path: Path
) -> None:
    made = pyramid()
    array = convert(pyramid_from_array(PIXELS, name="x"), cache / f"x-{digest('x')}.ome.zarr", chunk=128)
    mask = tmp_path / "mask.png"
    Image.fromarray(np.zeros((200, 300), np.uint8)).save(mask)
    labels = cache / f"mask-{digest('mask')}.labels.ome.zarr"
    with_levels(open_ground_truth(mask), labels)
    network = cache / "openvino" / "0123"
    network.mkdir(parents=True)
    (network / "tile.bin").write_bytes(b"x" * 1000)
    work = [
        make_segmentation(np.ones((200, 300), np.uint8), path=cache / name, image=open_image(made)).path
        for name in (f"a-{digest('a')}.earth.fctl.ome.zarr", f"named-{digest('n')}.ome.zarr")
    ]
    (cache / "marks.json").write_text("[]")
    gc.collect()
    found = {entry.path: entry.kind for entry in entries()}
    assert found == {made: "pyramid", array: "array", labels: "labels", network: "network"}
    assert [entry.of for entry in entries() if entry.path == made] == [str(tmp_path / "a.png")]
    assert {one.entry.path: one.kept for one in clear_cache()} == dict.fromkeys(found, "")
    assert not any(path.exists() for path in found)
    assert all(Segmentation.open(path).shape == (200, 300) for path in work)
    assert (cache / "marks.json").exists()
    assert mask.exists()
    assert (tmp_path / "a.png").exists()


def test_what_lies_elsewhere_is_no_entry(tmp_path: Path, cache: Path) -> None:
    name = f"a-{digest('a')}.ome.zarr"
    assert entry_path(cache / name / "0") == cache / name
    for path in (tmp_path / name, cache.parent / name, cache, "https://example.org/" + name, cache / "openvino"):
        assert entry_path(path) is None


def test_what_is_in_use_stays(
    pyramid: Callable[..., Path], other_process: Callable[[Path], subprocess.Popen[str]]
) -> None:
    theirs, ours, nobodys = pyramid("a"), pyramid("b"), pyramid("c")
    process = other_process(theirs)
    image = open_image(ours).with_band_names(("red", "green", "blue"))  # a copy
    kept = {one.entry.path: one.kept for one in clear_cache()}
    assert kept == {theirs: "it is in use", ours: "it is in use", nobodys: ""}
    assert (image.read((0, 0, 200, 300)) == PIXELS).all()
    process.kill()  # the system drops its lock
    process.wait()
    del image
    gc.collect()
    assert not in_use(theirs)
    assert [one.kept for one in clear_cache()] == ["", ""]
    assert entries() == []


def test_what_is_removed_can_be_chosen(pyramid: Callable[..., Path], tmp_path: Path) -> None:
    old, new, other = pyramid("old", days=40), pyramid("new"), pyramid("other", days=3)
    assert [one.entry.path for one in clear_cache(older_than=30)] == [old]
    assert [one.entry.path for one in clear_cache(str(tmp_path / "other.png"))] == [other]
    assert clear_cache(str(tmp_path / "old.png")) == []
    assert new.exists()
    assert [one.entry.path for one in clear_cache(str(new))] == [new]


def test_a_long_name_is_in_use_too(cache: Path, tmp_path: Path) -> None:
    file = tmp_path / f"{'long' * 55}.png"
    Image.fromarray(PIXELS).save(file)
    made = convert(open_image(file), cache / f"{file.stem}-{digest(file)}.ome.zarr", chunk=128)
    image = open_image(made)
    assert [one.kept for one in clear_cache()] == ["it is in use"]
    del image


def test_opening_an_image_is_using_it(pyramid: Callable[..., Path]) -> None:
    first, second = pyramid("a", days=9), pyramid("b", days=8)
    assert [entry.path for entry in entries()] == [first, second]
    open_image(first)
    assert [entry.path for entry in entries()] == [second, first]


def test_what_people_put_into_a_pyramid_stays(
    pyramid: Callable[..., Path], cache: Path, make_segmentation: Make
) -> None:
    made = pyramid()
    export(make_segmentation(np.ones((200, 300), np.uint8), image=open_image(made)), made / "labels" / "land")
    array = convert(pyramid_from_array(PIXELS, name="x"), cache / f"x-{digest('x')}.ome.zarr", chunk=128)
    result = cache / array.name.replace(".ome.zarr", ".earth.fctl.ome.zarr")
    make_segmentation(np.ones((200, 300), np.uint8), path=result, image=open_image(array))
    gc.collect()
    kept = {one.entry.path: one.kept for one in clear_cache()}
    assert kept == {
        made: "labels were written into it",
        array: "results of it are there, and no file holds its image",
    }
    shutil.rmtree(result)
    assert [one.kept for one in clear_cache(str(array))] == [""]


def test_the_limit_is_kept_by_removing_what_was_used_longest_ago(
    pyramid: Callable[..., Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [pyramid(name, days) for name, days in (("a", 3), ("b", 9), ("c", 1), ("d", 5))]
    size = folder_size(paths[0])
    monkeypatch.setenv("FCTL_CACHE_LIMIT", f"{4.5 * size / 1e3:.0f}kB")
    new = cache / f"new-{digest('new')}.ome.zarr"
    image = open_image(paths[1])  # the oldest is open
    assert make_room(new, size // 4) == []
    assert make_room(new, size) == [paths[3]]
    assert make_room(new, 2 * size) == [paths[0]]
    with pytest.raises(OutputError, match=r"of which .* are in use; close images"):
        make_room(new, 4 * size)
    assert [entry.path for entry in entries()] == [paths[1]]
    with pytest.raises(OutputError, match="the cache may hold"):
        make_room(new, 5 * size)
    assert image.shape == (200, 300)


def test_what_is_there_of_a_pyramid_counts(
    pyramid: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, resumed = pyramid("a", days=3), pyramid("b")
    monkeypatch.setenv("FCTL_CACHE_LIMIT", f"{2.1 * folder_size(old) / 1e3:.0f}kB")
    assert make_room(resumed, folder_size(resumed)) == []
    assert old.exists()


def test_the_disk_has_to_hold_it(tmp_path: Path, cache: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(OutputError, match=r"its disk has .* free; free some space"):
        make_room(tmp_path / "image.pyramid.ome.zarr", 2 * free)
    with pytest.raises(OutputError):
        make_room(cache / f"a-{digest('a')}.ome.zarr", 2 * free)


def test_who_says_what_the_limit_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit, source = cache_limit()
    assert source == "default"
    assert limit == min(50 * 10**9, int(0.2 * shutil.disk_usage(tmp_path).total))
    limit_path().parent.mkdir(parents=True)
    limit_path().write_text('{"limit_bytes": 7}')
    assert cache_limit() == (7, "chosen")
    for text in ("{", '{"limit_bytes": -1}', "[]"):
        limit_path().write_text(text)
        with pytest.raises(InputError, match="holds no limit of the cache"):
            cache_limit()
    monkeypatch.setenv("FCTL_CACHE_LIMIT", "1.5 GB")
    assert cache_limit() == (1_500_000_000, "environment")
    monkeypatch.setenv("FCTL_CACHE_LIMIT", "lots")
    with pytest.raises(ConfigError, match="FCTL_CACHE_LIMIT lots: is no size"):
        cache_limit()


@pytest.mark.parametrize("noise", [1, 60, 255])
def test_the_size_is_foreseen(tmp_path: Path, noise: int) -> None:
    pixels = np.random.default_rng(0).integers(0, noise, (1100, 1300, 3), np.uint8)
    source = pyramid_from_array(pixels, name="x")
    made = folder_size(convert(source, tmp_path / "x.ome.zarr", chunk=256))
    size = estimated_bytes(source)
    assert made * 0.9 < size + 40_000
    assert size < made * 1.1 + 40_000
    assert size <= most_bytes(pixels.shape, pixels.dtype)


def test_the_commands(fctl: Fctl, pyramid: Callable[..., Path], tmp_path: Path, cache: Path) -> None:
    old, new = pyramid("old", days=40), pyramid("new")
    document = tmp_path / "cache.json"
    text = fctl("cache", "info", "--json", document).out
    assert str(cache) in text
    assert "50 GB, or a fifth of the disk" in text
    assert text.index("new.png") < text.index("old.png")
    found = json.loads(document.read_text())
    assert [entry["path"] for entry in found["entries"]] == [str(new), str(old)]
    assert found["bytes"] == folder_size(old) + folder_size(new)
    assert found["other_bytes"] == folder_size(cache) - found["bytes"]
    text = fctl("cache", "clear", "--older-than", "30").out
    assert "old.png" in text
    assert not old.exists()
    assert new.exists()
    assert fctl("cache", "limit", "20GB").out.startswith("20.0 GB (chosen")
    assert fctl("cache", "limit", "default").out.endswith("if that is less)\n")
    assert "is no size" in fctl("cache", "limit", "much").sentence()
    image = open_image(new)
    result = fctl("cache", "clear")
    assert "stays, as it is in use" in result.err
    assert result.out == "nothing was removed\n"
    assert image.shape == (200, 300)


def test_a_conversion_says_what_it_takes(tmp_path: Path) -> None:
    """In a terminal, which alone has bars."""
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    command = [
        sys.executable,
        "-m",
        "fctl_napari.cli",
        "convert",
        str(tmp_path / "a.png"),
        str(tmp_path / "a.ome.zarr"),
    ]
    ours, theirs = os.openpty()
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm"}
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=theirs, env=environment, check=True, timeout=120)
    os.close(theirs)
    assert b"Converting to a.ome.zarr, about 1 MB" in os.read(ours, 100_000)
    os.close(ours)


def test_links_and_pyramids_of_lost_files_with_results_stay(
    pyramid: Callable[..., Path], tmp_path: Path, cache: Path, make_segmentation: Make
) -> None:
    lost, kept = pyramid("lost"), pyramid("kept")
    made = make_segmentation(np.ones((200, 300), np.uint8), path=lost.with_name(f"{lost.stem[:-4]}.made.fctl.ome.zarr"))
    (tmp_path / "lost.png").unlink()
    elsewhere = shutil.copytree(kept, tmp_path / "elsewhere.ome.zarr")
    link = kept.with_name("linked-0123456789ab.ome.zarr")
    link.symlink_to(elsewhere)
    assert {entry.path for entry in entries()} == {lost, kept}
    clear_cache()
    assert lost.exists()
    assert not kept.exists()
    assert made.path.exists()
    assert link.is_symlink()
    assert elsewhere.exists()
