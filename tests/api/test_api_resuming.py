"""Runs that were stopped, or called again: the same call goes on, and writes nothing twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import dask.array
import numpy as np
import pytest
from helpers_commands import Fctl

import fctl_napari as fctl
from fctl_napari.exceptions import FctlError, InputError, OutputError
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert


class Stop(Exception):
    """What a progress function raises in place of an interrupt."""


@pytest.fixture
def corrected(scene: Path, network: Path, tmp_path: Path) -> Path:
    """A copy of the scene with its network and corrections beside it."""
    copy = shutil.copytree(scene, tmp_path / "scene.ome.zarr")
    shutil.copy(network, tmp_path / "awake.safetensors")
    with fctl.corrections(copy, classes=fctl.load_checkpoint(network)) as painted:
        for k in range(8):
            painted.write(8 + k // 4 * 56, 20 + k % 4 * 70, np.full((24, 24), k % 3 + 1, np.uint8), author="ann")
    return copy


def stop_after_some(call: Callable[..., object], steps: int) -> int:
    """Stop a call between its steps; return how many were made as far as was seen."""
    seen: list[int] = []

    def stop(done: int, total: int) -> None:
        if total == steps and done >= 2:
            seen.append(done)
            raise Stop

    with pytest.raises(Stop):
        call(steps=steps, check_every=steps, device="cpu", progress=stop)
    return seen[-1]


def test_the_same_call_without_a_name_resumes_fine_tuning(corrected: Path) -> None:
    call = partial(fctl.finetune, corrected, corrected.with_name("awake.safetensors"))
    steps = 120
    made = stop_after_some(call, steps)
    assert corrected.with_name(".awake-1.finetune.pt").exists()
    again: list[tuple[int, int]] = []
    candidate = call(
        steps=steps, check_every=steps, device="cpu", progress=lambda done, total: again.append((done, total))
    )
    assert candidate.out == corrected.with_name("awake-1.safetensors")
    trained = [done for done, total in again if total == steps]
    assert trained
    assert min(trained) >= made  # the first steps were not made again
    other = call(steps=1, device="cpu", progress=False)
    assert other.out == corrected.with_name("awake-2.safetensors")  # the first waits to be decided on


def test_another_call_leaves_what_was_stopped_alone(corrected: Path) -> None:
    call = partial(fctl.finetune, corrected, corrected.with_name("awake.safetensors"))
    stop_after_some(call, 120)
    state = corrected.with_name(".awake-1.finetune.pt")
    before = state.read_bytes()
    assert call(steps=1, device="cpu", progress=False).out == corrected.with_name("awake-2.safetensors")
    assert state.read_bytes() == before


def test_a_call_that_fails_leaves_nothing_to_resume(scene: Path, network: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        fctl.finetune(
            scene, network, tmp_path / "new.safetensors", corrections=tmp_path / "none.ome.zarr", device="cpu"
        )
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_learned_before_something_is_painted(scene: Path, network: Path, tmp_path: Path) -> None:
    own = shutil.copytree(scene, tmp_path / "scene.ome.zarr")
    for call in (
        lambda: fctl.finetune(own, network, steps=1, progress=False),
        lambda: fctl.corrections(own, write=False),
    ):
        with pytest.raises(
            InputError, match=r"scene\.corrections\.ome\.zarr: there are no corrections yet; paint some first"
        ):
            call()


def test_an_array_is_segmented_further_by_the_same_call(
    pixels: np.ndarray, network: Path, segmented: fctl.Map, tmp_path: Path
) -> None:
    call = partial(fctl.segment, pixels, network, tmp_path / "array.ome.zarr", device="cpu", progress=False)
    part = call(region=(0, 0, 128, 64)).done
    assert 0 < part < 1
    assert call(region=(0, 200, 128, 320)).done > part  # another region is added
    whole = call()
    assert np.array_equal(whole.read(), segmented.read())
    assert call().done == 1


@pytest.mark.parametrize("lazy", [False, True])
def test_a_call_that_fails_leaves_no_copy_of_its_array(
    pixels: np.ndarray, network: Path, tmp_path: Path, lazy: bool
) -> None:
    array, out = dask.array.from_array(pixels, chunks=64) if lazy else pixels, tmp_path / "a.ome.zarr"
    copied = tmp_path / "a.image.ome.zarr"
    for wrong in ({"device": "moon"}, {"batch": 0}, {"region": (900, 900, 950, 950)}):
        with pytest.raises(FctlError):
            fctl.segment(array, network, out, progress=False, **wrong)
        assert not copied.exists()
        assert not out.exists()
    land = fctl.segment(array, network, out, device="cpu", progress=False)
    with pytest.raises(FctlError):
        fctl.segment(array, network, out, region=(900, 900, 950, 950), progress=False)
    assert copied.exists()  # the map's
    assert np.array_equal(land.image.read(), pixels)
    shutil.rmtree(out)
    with pytest.raises(FctlError):
        fctl.segment(array, network, out, region=(900, 900, 950, 950), progress=False)
    assert copied.exists()  # it was there before
    shutil.rmtree(copied)
    assert np.array_equal(fctl.segment(array, network, out, device="cpu", progress=False).read(), land.read())


def test_another_array_does_not_take_the_copy_of_the_first(pixels: np.ndarray, network: Path, tmp_path: Path) -> None:
    out = tmp_path / "array.ome.zarr"
    fctl.segment(pixels, network, out, region=(0, 0, 64, 64), device="cpu", progress=False)
    other = pixels.copy()
    other[-1, -1] ^= 1
    for fresh in (False, True):
        with pytest.raises(OutputError, match=r"array.image.ome.zarr: holds other px than this array; choose another"):
            fctl.segment(other, network, out, fresh=fresh, device="cpu", progress=False)


def test_the_command_and_the_function_resume_each_other(
    command: Fctl, pixels: np.ndarray, network: Path, tmp_path: Path
) -> None:
    """A range that the file states is not one that somebody stated."""
    deep = pyramid_from_array(pixels.astype(np.uint16) * 9, name="deep", value_range=(0, 2000))
    image, out = convert(deep, tmp_path / "deep.ome.zarr"), tmp_path / "out.ome.zarr"
    call = partial(fctl.segment, image, network, out, device="cpu", progress=False)
    assert call(region=(0, 0, 64, 64)).done < 1
    assert command("segment", image, "--checkpoint", network, "--out", out, "--device", "cpu").code == 0
    whole = call()
    assert whole.done == 1
    assert call(value_range=(0, 2000)).done == 1  # as the window states it
    with pytest.raises(OutputError, match="another value range"):
        call(value_range=(0, 2001))
    assert np.array_equal(
        fctl.segment(fctl.open(image), network, out, device="cpu", progress=False).read(), whole.read()
    )


def test_names_of_bands_that_were_stated_reach_the_worker(
    command: Fctl, pixels: np.ndarray, network: Path, tmp_path: Path
) -> None:
    names = ("blue", "green", "red")
    image, out = convert(pyramid_from_array(pixels, name="p"), tmp_path / "p.ome.zarr"), tmp_path / "out.ome.zarr"
    call = ("--checkpoint", network, "--out", out, "--device", "cpu", "--band-names", ",".join(names))
    assert command("segment", image, *call).code == 0
    opened = fctl.open(image, bands=names)
    assert isinstance(opened, fctl.Image)
    assert fctl.segment(opened, network, out, device="cpu", progress=False).done == 1
