"""Layers that other readers opened: their copies, their names, and what of them is computed."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
from helpers_lazy import Counted
from napari.layers import Image

from fctl_napari.api.locations import array_path, cache_folder
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.imagery.array_copy import copy_at
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.naming import corrections_path
from fctl_napari.imagery.open import open_image
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.plugin.correct.open import open_corrections
from fctl_napari.plugin.layers.array_image import array_image, lazy_layer
from fctl_napari.plugin.layers.image_identity import identities
from fctl_napari.plugin.layers.image_source import ImageSource
from fctl_napari.plugin.layers.on_disk import OnDisk
from fctl_napari.progress import no_progress

pytestmark = pytest.mark.gui
TABLE = ClassTable(classes=(ClassInfo(name="a", color=(255, 0, 0)),))


@pytest.fixture
def source_of(qapp: object, until: Callable[..., None]) -> Callable[..., ImageSource]:
    """``source_of(layer)``: what the layer's work reads, once that is ready."""

    def find(layer: Image, **options: Any) -> ImageSource:
        ready: list[ImageSource] = []
        failed: list[BaseException] = []
        finder = OnDisk(layer, "the run", **options)
        finder.ready.connect(ready.append)
        finder.failed.connect(failed.append)
        finder.start()
        until(lambda: bool(ready or failed))
        assert not failed
        return ready[0]

    return find


def test_naming_a_layer_computes_a_handful_of_its_256_blocks(
    source_of: Callable[..., ImageSource], until: Callable[..., None]
) -> None:
    scene, half = Counted(8192), Counted(4096, plus=1)
    layer = Image([scene.lazy("a"), half.lazy("b")], rgb=True, multiscale=True, name="scene")
    scene.blocks.clear()  # napari's own
    reads = half.reads
    assert lazy_layer(layer)
    identities().names(layer)
    until(lambda: identities().names(layer) is not None)
    source = source_of(layer)
    assert len(scene.blocks) <= 24
    assert half.reads == reads
    assert Path(source.path).parent == cache_folder()
    opened = source.open()
    assert np.array_equal(opened.read((5000, 5000, 5020, 5020)), scene[5000:5020, 5000:5020, :])
    assert np.array_equal(opened.read((0, 0, 9, 9), level=1), half[0:9, 0:9, :])
    blocks = set(scene.blocks)
    assert source_of(layer).path == source.path
    assert scene.blocks == blocks


def gone(path: str) -> bool:
    """Return whether nothing fills a copy any more: the thread that began it may just be ending."""
    gc.collect()
    return copy_at(path) is None


def test_work_elsewhere_gets_a_whole_copy(source_of: Callable[..., ImageSource], until: Callable[..., None]) -> None:
    pixels = np.random.default_rng(0).integers(0, 4000, (300, 400), np.uint16)
    layer = Image(dask.array.from_array(pixels, chunks=100), contrast_limits=(0, 2000), name="deep")
    source = source_of(layer, whole=True)
    path, value_range = source.path, source.value_range
    del layer, source
    until(lambda: gone(path))  # what is left is a file as any other
    image = open_image(path)
    assert np.array_equal(image.read_native((0, 0, 300, 400))[..., 0], pixels)
    assert image.value_range == value_range == (0, 2000)


def test_a_copy_goes_with_its_layer(source_of: Callable[..., ImageSource], until: Callable[..., None]) -> None:
    layer = Image(Counted(2048).lazy(), rgb=True, name="scene")
    path = source_of(layer).path
    assert not gone(path)
    del layer
    until(lambda: gone(path))


def test_arrays_that_differ_where_nobody_looks_have_copies_of_their_own(
    source_of: Callable[..., ImageSource],
) -> None:
    """They have one fingerprint, and results are named after it."""
    pixels = np.zeros((2048, 2048, 3), np.uint8)
    pixels[:] = np.arange(2048)[:, None, None] % 251
    changed = pixels.copy()
    changed[3, 3] += 1  # between the sampled blocks
    one, other = (
        Image(dask.array.from_array(array, chunks=(512, 512, 3)), rgb=True, name="scene") for array in (pixels, changed)
    )
    first, second = source_of(one), source_of(other)
    assert first.path != second.path
    assert first.original == second.original == first.path
    for source, array in ((first, pixels), (second, changed)):
        assert np.array_equal(source.open().read((0, 0, 10, 10)), array[:10, :10])
    assert source_of(one).path == first.path


def test_another_array_in_the_layer_is_another_image(source_of: Callable[..., ImageSource]) -> None:
    one, other = Counted(2048), Counted(2048, plus=7)
    layer = Image(one.lazy("one"), rgb=True, name="scene")
    first = source_of(layer)
    assert array_image(layer) is array_image(layer)
    layer.data = other.lazy("other")
    second = source_of(layer)
    assert second.path != first.path
    assert np.array_equal(second.open().read((0, 0, 5, 5)), other[0:5, 0:5, :])


def test_corrections_by_an_earlier_version_are_those_of_the_layer(source_of: Callable[..., ImageSource]) -> None:
    """They were named after all px of the array, and its copy may have left the cache since."""
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    copied = convert(pyramid_from_array(pixels, name="scene"), array_path(pixels, "scene"))
    there = corrections_path(copied)
    corrections = Corrections.open_or_create(there, open_image(copied), TABLE)
    corrections.close()
    copied.rename(copied.with_name("gone"))
    layer = Image(dask.array.from_array(pixels, chunks=(100, 100, 3)), rgb=True, name="scene")
    source = source_of(layer)
    assert source.original == str(copied)
    assert source.path != source.original
    opened = open_corrections(source, TABLE, None, no_progress, create=True)
    assert opened is not None
    assert opened.corrections.path == there
    opened.corrections.close()
    named_alike = Image(dask.array.from_array(pixels[::-1], chunks=(100, 100, 3)), rgb=True, name="scene")
    other = source_of(named_alike)
    assert other.original == other.path
