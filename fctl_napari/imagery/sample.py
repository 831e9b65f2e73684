"""The sample scene: the Earth from 60 N to 58 S, with land cover as ground truth."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.open import open_image
from fctl_napari.progress import Progress
from fctl_napari.windows import IntWindow

_PACKAGE = Path(__file__).parent.parent
# In a wheel the folder lies in the package, in a checkout beside it.
_LOCATIONS = (_PACKAGE / "sample_data", _PACKAGE.parent / "sample_data")


@dataclass(frozen=True)
class SamplePaths:
    """Files of the sample scene.

    Attributes
    ----------
    image : Path
        JPEG, RGB.
    ground_truth : Path
        PNG of class indices, 255 = ignored.
    classes : Path
        JSON: the class table and the splits.
    """

    image: Path
    ground_truth: Path
    classes: Path


def sample_files() -> SamplePaths:
    """Find the sample scene, in a checkout or in an installed package.

    Returns
    -------
    SamplePaths
        Files of the scene.

    Raises
    ------
    InputError
        The files are missing.
    """
    for folder in _LOCATIONS:
        paths = SamplePaths(folder / "earth.jpg", folder / "earth_truth.png", folder / "classes.json")
        if all(path.is_file() for path in (paths.image, paths.ground_truth, paths.classes)):
            return paths
    raise InputError(f"{_LOCATIONS[-1]}: the sample scene is not complete here; install the package again.")


def sample_splits() -> dict[str, list[tuple[int, int]]]:
    """Return the longitude bands of the splits ``train``, ``val`` and ``test``.

    Returns
    -------
    dict of str to list of tuple of 2 int
        List of bands by split: (x0, x1), px, half open, over all rows.

    Raises
    ------
    InputError
        The files of the sample scene are missing.
    """
    bands = _read_table()["splits"]
    return {split: [(int(x0), int(x1)) for x0, x1 in pairs] for split, pairs in bands.items()}


def _read_table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(sample_files().classes.read_text("utf-8"))
    return table


def write_sample(folder: Path | str, *, chunk: int = 512, progress: Progress | None = None) -> Path:
    """Write the sample scene as an OME-Zarr pyramid with its ground truth under ``labels/truth``.

    A second call on the same folder finishes what the first left, and changes nothing that is complete.

    Parameters
    ----------
    folder : Path or str
        Folder of the OME-Zarr.
    chunk : int, optional
        Side of the chunks, px.
    progress : callable or None, optional
        Called as ``progress(done, total)`` while the image is written.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        The files of the sample scene are missing.
    OutputError
        Something else is there, the disk is full, or the location is not writable.
    """
    files = sample_files()
    state = {"scene": _digest(files), "complete": True}
    if _ground_truth_state(Path(folder)) == state:
        return Path(folder)
    written = convert(open_image(files.image), folder, chunk=chunk, progress=progress)
    ground_truth = open_ground_truth(files.ground_truth)
    path = written / "labels" / "truth"
    if path.exists():
        labels = LabelPyramid.open(path, mode="r+")
    else:
        labels = LabelPyramid.create(path, ground_truth.shape, chunk=chunk, classes=_read_table()["classes"])
    height, width = ground_truth.shape
    for y in range(0, height, chunk):
        for x in range(0, width, chunk):
            window: IntWindow = (y, x, min(y + chunk, height), min(x + chunk, width))
            # 255 (ignored) wraps to 0 (not labelled), k becomes k + 1.
            labels.write(y, x, ground_truth.read(window) + np.uint8(1))
    labels.update_levels((0, 0, height, width))
    labels.set_attributes({"fctl": state})
    return written


def _digest(files: SamplePaths) -> str:
    """Return the SHA-256 of the scene's files, which does not depend on where and when they were installed."""
    digest = hashlib.sha256()
    for path in (files.image, files.ground_truth, files.classes):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _ground_truth_state(folder: Path) -> dict[str, Any] | None:
    """Return the stored state of the ground truth under a folder, or None if there is none yet."""
    try:
        state: dict[str, Any] | None = LabelPyramid.open(folder / "labels" / "truth").attributes.get("fctl")
    except InputError:
        return None
    return state
