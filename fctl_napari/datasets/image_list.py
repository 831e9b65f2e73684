"""Images of a job: those of folders, globs and single files, without what only lies beside them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from glob import glob, has_magic
from itertools import takewhile
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image

from fctl_napari.datasets.files import GROUND_TRUTH_ENDS, GROUND_TRUTH_FOLDERS
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.formats import ngff
from fctl_napari.imagery.formats.geo import EXTENSIONS, open_dataset
from fctl_napari.imagery.formats.mask_tags import png_tags, tiff_tags
from fctl_napari.imagery.formats.npy import NPY_MAGIC
from fctl_napari.imagery.formats.png_jpeg import JPEG_MAGIC, PNG_MAGIC, read_magic
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.imagery.formats.slides import DICOM_SUFFIX, is_dicom_slide
from fctl_napari.imagery.formats.slides import SUFFIXES as SLIDES
from fctl_napari.imagery.formats.tiff import TIFF_MAGIC
from fctl_napari.imagery.georeference import has_rasterio
from fctl_napari.imagery.naming import CORRECTIONS_SUFFIX, IMAGE_SUFFIXES, stem
from fctl_napari.imagery.numbered import image_file
from fctl_napari.imagery.provenance import Origin
from fctl_napari.segmentation.store.result_paths import STORE_SUFFIX
from fctl_napari.segmentation.store.store import ATTRIBUTE
from fctl_napari.words import count_of

GROUND_TRUTHS = "ground truths"
RESULTS = "results"
CORRECTIONS = "corrections"
COPIES = "copies and mosaics of the images"
OTHERS = "other files"

BY_CONTENT = (".gpkg",)
"""Suffixes of rasters that files of another kind have, too."""

NAMED = tuple(
    suffix for suffix in (*IMAGE_SUFFIXES, ".npy", *EXTENSIONS, *SLIDES, DICOM_SUFFIX) if suffix not in BY_CONTENT
)
"""Suffixes by which a file is known as an image, damaged or not."""

BESIDE = (".aux", ".ovr", ".rrd", ".msk", ".json", ".geojson", ".xml", ".txt", ".csv", ".pdf", ".html", ".md")
"""Suffixes of files that lie beside images, of which some can be opened as images."""


@dataclass(frozen=True)
class ImageList:
    """Images of a job.

    Attributes
    ----------
    images : tuple of str
        Paths and addresses, each once, in the order in which they were named. Those of a folder are sorted.
    left_out : mapping of str to int
        Number of files that are not segmented, by what they are.
    """

    images: tuple[str, ...]
    left_out: Mapping[str, int]

    def words(self) -> str:
        """Describe the list in a line.

        Returns
        -------
        str
            Number of images, and what is left out.
        """
        found = count_of(len(self.images), "image")
        left = ", ".join(f"{kind} ({count:,})" for kind, count in self.left_out.items() if count)
        return f"{found}; left out: {left}" if left else found


def is_several(location: str) -> bool:
    """Return whether a location means the images of a folder or a glob, rather than one image.

    Parameters
    ----------
    location : str
        Path or address.

    Returns
    -------
    bool
        True for a folder that is no image itself, and for a glob.
    """
    if is_url(location):
        return False
    path = Path(image_file(location))
    return _is_plain_folder(path) or (has_magic(location) and not path.exists())


def list_images(locations: Sequence[str]) -> ImageList:
    """List the images of a job.

    Ground truths are known by their names, as in a data set (``find_files``), results and corrections by what they say
    of themselves. A mosaic, a conversion or a pyramid of images of the list is left out, so that nothing counts twice.
    Hidden files are ignored.

    Parameters
    ----------
    locations : sequence of str
        Images, their addresses, folders (with all that lies below them) and globs.

    Returns
    -------
    ImageList
        The images, and what is left out.

    Raises
    ------
    InputError
        A glob matches nothing, or no image is found.
    """
    found: dict[str, str] = {}
    roots: list[Path] = []
    for location in locations:
        if is_url(location):
            found.setdefault(location, location)
            continue
        path = Path(image_file(location))
        hits = [location]
        if has_magic(location) and not path.exists():
            hits = _hits(location)
            if not hits:
                raise InputError(f"{location}: matches no file; check the path.")
        for hit in hits:
            here = Path(image_file(hit)).absolute()
            folder = _is_plain_folder(here)
            roots.append(here if folder else here.parent)
            for file in _files_below(here) if folder else [Path(hit).absolute()]:
                found.setdefault(str(file.resolve()), str(file))
    root = Path(os.path.commonpath(roots)) if roots else Path()
    kinds = {image: None if is_url(image) else _kind(image, root) for image in found.values()}
    images = [image for image, kind in kinds.items() if kind is None]
    listed = {str(Path(image).resolve()) for image in images if not is_url(image)}
    for image in images:
        sources = set(_made_of(image))
        if sources and sources <= listed:
            kinds[image] = COPIES
    counts = Counter(kind for kind in kinds.values() if kind is not None)
    order = (GROUND_TRUTHS, RESULTS, CORRECTIONS, COPIES, OTHERS)
    result = ImageList(
        tuple(image for image in images if kinds[image] is None), {kind: counts[kind] for kind in order if counts[kind]}
    )
    if not result.images:
        rest = result.words().partition("; ")[2]
        raise InputError(
            f"{', '.join(locations[:3])}: holds no image{f' ({rest})' if rest else ''}; check the path, or name a file "
            "alone to take it whatever it is."
        )
    return result


def _hits(pattern: str) -> list[str]:
    """Return what a glob matches, but for what lies in Zarr folders that it matches on the way."""
    fixed = Path(*takewhile(lambda part: not has_magic(part), Path(pattern).parts))
    is_zarr = cache(ngff.is_zarr)
    return [
        hit
        for hit in sorted(glob(pattern, recursive=True))
        if not any(is_zarr(parent) for parent in Path(hit).parents if parent != fixed and parent.is_relative_to(fixed))
    ]


def _is_plain_folder(path: Path) -> bool:
    return path.is_dir() and not ngff.is_zarr(path) and not is_dicom_slide(path)


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield files, and folders that are one thing, in order. Folders that links lead to are visited once."""
    seen = set()
    for at, folders, files in os.walk(folder, followlinks=True):
        here = Path(at)
        seen.add(here.resolve())
        visible = [name for name in folders if not name.startswith(".")]
        whole = {name for name in visible if not _is_plain_folder(here / name)}
        folders[:] = sorted(name for name in visible if name not in whole and (here / name).resolve() not in seen)
        yield from (here / name for name in sorted({*files, *whole}) if not name.startswith("."))


def _kind(location: str, root: Path) -> str | None:
    """Return what a file or a folder is if it is no image to segment."""
    path, name = Path(location), Path(image_file(location)).name.lower()
    if name.endswith(CORRECTIONS_SUFFIX):
        return CORRECTIONS
    if name.endswith(STORE_SUFFIX):
        return RESULTS
    if name.endswith(".pyramid.ome.zarr"):
        return COPIES
    if not Path(image_file(location)).exists():
        return None  # opening it says so
    if path.is_dir() and ngff.is_zarr(path):
        kind = _zarr_kind(path)
    elif path.is_file() and not name.endswith(NAMED) and (name.endswith(BESIDE) or not _opens(path)):
        kind = OTHERS
    else:
        kind = RESULTS if path.is_file() and _names_classes(path) else None
    return kind or (GROUND_TRUTHS if _is_ground_truth(path, root) else None)


def _zarr_kind(path: Path) -> str | None:
    try:
        group = ngff.open_group(path)
    except InputError:
        return None  # opening it says why
    ours = group.attrs.asdict().get(ATTRIBUTE)
    kind = ours.get("kind") if isinstance(ours, dict) else None
    if kind is not None:
        return CORRECTIONS if kind == "corrections" else RESULTS
    return GROUND_TRUTHS if ngff.is_label_image(group) else None


def _is_ground_truth(path: Path, root: Path) -> bool:
    parents = path.parent.relative_to(root).parts if path.is_relative_to(root) else ()
    own = stem(path).lower()
    ends = any(own.endswith(end) and own != end for end in GROUND_TRUTH_ENDS)
    return ends or any(part.lower() in GROUND_TRUTH_FOLDERS for part in parents)


def _names_classes(path: Path) -> bool:
    """Return whether a PNG or TIFF says which classes its values are, as our exports do."""
    with suppress(Exception):  # of a damaged file, which says why when it is opened
        magic = read_magic(path)
        if magic.startswith(PNG_MAGIC):
            with Image.open(path) as image:
                return png_tags(image).class_names is not None
        if magic.startswith(TIFF_MAGIC):
            return tiff_tags(path).class_names is not None
    return False


def _opens(path: Path) -> bool:
    """Return whether a file of an unusual name is an image by its content."""
    try:
        magic = read_magic(path)
        if magic.startswith((*TIFF_MAGIC, PNG_MAGIC, JPEG_MAGIC, NPY_MAGIC)):
            return True
        if is_dicom_slide(path) or ngff.is_zarr(path):  # the latter in a zip file
            return True
    except InputError:
        return False
    if not has_rasterio():
        return False
    from rasterio.errors import RasterioError

    try:
        with open_dataset(path) as dataset:
            return bool(dataset.count or dataset.subdatasets)
    except RasterioError:
        return False


def _made_of(location: str) -> Iterable[str]:
    """Return the files that an image is a mosaic or a conversion of, as far as it says so."""
    if is_url(location):
        return ()
    path = Path(location)
    if path.suffix.lower() == ".vrt" and path.is_file():
        return _mosaic_sources(path)
    if not (path.is_dir() and ngff.is_zarr(path)):
        return ()
    try:
        ours = ngff.open_group(path).attrs.asdict().get(ATTRIBUTE)
    except InputError:
        return ()
    origin = Origin.read(ours) if isinstance(ours, dict) else None
    return () if origin is None or is_url(origin.path) else (str(Path(origin.path).resolve()),)


def _mosaic_sources(path: Path) -> list[str]:
    try:
        root = ElementTree.parse(path)
    except (OSError, ElementTree.ParseError):
        return []
    found = [*root.iter("SourceFilename"), *root.iter("SourceDataset")]  # the latter of a warped one
    return [str((path.parent / (one.text or "")).resolve()) for one in found]  # an absolute path stays as it is
