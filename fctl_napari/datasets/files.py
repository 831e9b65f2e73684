"""Files of a data set: pairs of images and ground truths, matched by the names of files and folders."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.formats import ngff
from fctl_napari.imagery.naming import CORRECTIONS_SUFFIX, IMAGE_SUFFIXES, stem

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")

GROUND_TRUTH_FOLDERS = {"gt", "truth", "label", "labels", "mask", "masks", "annotation", "annotations", "groundtruth"}
IMAGE_FOLDERS = {"images", "image", "sat", "imgs", "img"}
GROUND_TRUTH_ENDS = ("_mask", "_label", "_labels", "_gt", "_truth")
IMAGE_ENDS = ("_sat", "_image", "_img")
PART_FOLDERS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "crossvali": "val",  # GLNet's names
    "offical_crossvali": "test",
    "official_crossvali": "test",
    "test": "test",
    "testing": "test",
}
SIDE_SUFFIXES = (".pyramid.ome.zarr", ".fctl.ome.zarr", CORRECTIONS_SUFFIX)
"""Suffixes of files that this project itself puts beside images."""


@dataclass(frozen=True)
class Pair:
    """An image and its ground truth.

    Attributes
    ----------
    name : str
        Folders and file name without the words that distinguish image and ground truth (``train/austin1``). It is
        unique.
    image : Path
        File of the image.
    ground_truth : Path
        File of the ground truth. It is the image's OME-Zarr if the ground truth lies among its labels.
    part : Part or None
        Part of the data that the name of a folder states, or None.
    """

    name: str
    image: Path
    ground_truth: Path
    part: Part | None

    @property
    def short(self) -> str:
        """The name without folders."""
        return self.name.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Problem:
    """A part of a data set that does not fit.

    Attributes
    ----------
    file : str
        File, relative to the data set's folder.
    what : str
        Description of the problem.
    do : str
        Advice on how to solve it.
    """

    file: str
    what: str
    do: str


@dataclass(frozen=True)
class Files:
    """The files of a data set's folder.

    Attributes
    ----------
    pairs : tuple of Pair
        Images with their ground truths, by name.
    without_ground_truth : tuple of Path
        Images of folders in which no image has a ground truth (published test sets).
    problems : tuple of Problem
        Files that are not used.
    """

    pairs: tuple[Pair, ...]
    without_ground_truth: tuple[Path, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class _File:
    path: Path
    relative: str
    name: str
    ground_truth: bool
    part: Part | None
    both: bool = False


def find_files(folder: Path) -> Files:
    """Pair the images of a folder with their ground truths.

    A ground truth lies in a folder called ``gt``, ``masks``, ``labels``, ``Label``, ... or its name ends in ``_mask``,
    ``_label``, ``_gt``, ``_truth``. Every other file that can be an image is one. The two belong together if their
    paths are the same without these words and without ``images``, ``Sat``, ``_sat``, ... An OME-Zarr with labels is
    both. Hidden files are ignored.

    Parameters
    ----------
    folder : Path
        Folder of the data set, or a single OME-Zarr.

    Returns
    -------
    Files
        Pairs, further images, and problems.

    Raises
    ------
    InputError
        There is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; check the path.")
    images, ground_truths = defaultdict[str, list[_File]](list), defaultdict[str, list[_File]](list)
    pairs, alone, problems = [], [], []
    for path in [folder] if ngff.is_zarr(folder) else _iter_files(folder):
        try:
            found = _describe(path, folder)
        except InputError as error:
            problems.append(Problem(path.relative_to(folder).as_posix(), str(error), "write it again"))
            continue
        (ground_truths if found.ground_truth else images)[found.name].append(found)
    for name in sorted({*images, *ground_truths}):
        several = next((files for files in (images[name], ground_truths[name]) if len(files) > 1), None)
        if several is not None:
            others = ", ".join(file.relative for file in several[1:])
            problems.append(
                Problem(several[0].relative, f"is called like {others}; neither is used", "keep one of them")
            )
        elif not images[name]:
            problems.append(
                Problem(ground_truths[name][0].relative, "is a ground truth without its image", "add the image")
            )
        elif ground_truths[name]:
            pairs.append(Pair(name, images[name][0].path, ground_truths[name][0].path, images[name][0].part))
        elif images[name][0].both:
            pairs.append(Pair(name, images[name][0].path, images[name][0].path, images[name][0].part))
        else:
            alone.append(images[name][0])
    labelled = {pair.image.parent for pair in pairs}
    problems += [
        Problem(file.relative, "is an image without its ground truth", "add the ground truth")
        for file in alone
        if file.path.parent in labelled
    ]
    without = tuple(file.path for file in alone if file.path.parent not in labelled)
    return Files(tuple(pairs), without, tuple(problems))


def _iter_files(folder: Path) -> Iterator[Path]:
    """Yield files and Zarr folders that may be images, in order. Folders that links lead to are visited once."""
    seen = set()
    for at, folders, files in os.walk(folder, followlinks=True):
        here = Path(at)
        seen.add(here.resolve())
        stores = {name for name in folders if ngff.is_zarr(here / name)}
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and name not in stores and (here / name).resolve() not in seen
        )
        for name in sorted({*files, *stores}):
            known = name.lower().endswith(IMAGE_SUFFIXES) or name in stores
            if known and not name.startswith(".") and not name.lower().endswith(SIDE_SUFFIXES):
                yield here / name


def _describe(path: Path, folder: Path) -> _File:
    relative = path.relative_to(folder)
    own, ground_truth, both = stem(path), False, False
    for ends, says in ((GROUND_TRUTH_ENDS, True), (IMAGE_ENDS, False)):
        end = next((end for end in ends if own.lower().endswith(end) and own.lower() != end), None)
        if end is not None:
            own, ground_truth = own[: -len(end)], says
            break
    folders = [part for part in relative.parts[:-1] if part.lower() not in GROUND_TRUTH_FOLDERS | IMAGE_FOLDERS]
    ground_truth = ground_truth or any(part.lower() in GROUND_TRUTH_FOLDERS for part in relative.parts[:-1])
    if path.is_dir():
        group = ngff.open_group(path)
        ground_truth = ground_truth or ngff.is_label_image(group)
        both = not ground_truth and "labels" in group
    part = next((PART_FOLDERS[f.lower()] for f in reversed(folders) if f.lower() in PART_FOLDERS), None)
    text = relative.as_posix() if path != folder else path.name
    return _File(path, text, "/".join([*folders, own]), ground_truth, part, both)
