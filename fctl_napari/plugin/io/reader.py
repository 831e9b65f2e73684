"""Reader of images from disk as lazy layers.

Large ones without levels get a pyramid while a preview is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import napari
import numpy as np
import PIL.Image
from napari.layers import Image

from fctl_napari.api.locations import pyramid_path, stem
from fctl_napari.exceptions import FctlError
from fctl_napari.imagery.formats import ngff
from fctl_napari.imagery.formats.geo import EXTENSIONS
from fctl_napari.imagery.formats.ome_zarr import collection
from fctl_napari.imagery.formats.png_jpeg import has_transparency
from fctl_napari.imagery.formats.remote import child, is_url, last_name
from fctl_napari.imagery.formats.slides import DICOM_SUFFIX, is_dicom_slide
from fctl_napari.imagery.formats.slides import SUFFIXES as SLIDES
from fctl_napari.imagery.formats.stac import asset_location, is_item
from fctl_napari.imagery.formats.tiff_validity import mask_beside
from fctl_napari.imagery.formats.zipped import zip_file
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.measured import PERCENTILES, measured_range, share_without_data
from fctl_napari.imagery.numbered import image_file, listed, split_number
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import LARGE_SIDE, Pyramid, has_pyramid
from fctl_napari.plugin.common.background import Job
from fctl_napari.plugin.common.notify import report, say
from fctl_napari.plugin.layers import label_groups
from fctl_napari.plugin.layers.ground import GROUND_KEY, ground_metadata
from fctl_napari.plugin.layers.ground_status import show_ground
from fctl_napari.plugin.layers.image_source import (
    ImageSource,
    LayerData,
    file_state,
    image_layer,
    image_placement,
    image_source,
    show_levels,
)
from fctl_napari.plugin.layers.navigation import bring_into_view
from fctl_napari.plugin.layers.pyramids import (
    PyramidJob,
    empty_preview,
    location_and_size,
    preview_levels,
    ready_pyramid,
)
from fctl_napari.plugin.layers.shown_levels import displayed_level, displayed_levels
from fctl_napari.plugin.layers.transforms import move
from fctl_napari.plugin.layers.units import share_units
from fctl_napari.progress import Progress
from fctl_napari.words import count_of, percent_of

SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".npy", ".ozx", *EXTENSIONS, *SLIDES)
REMOTE_SUFFIXES = (".zarr", ".tif", ".tiff", ".ozx", ".svs", ".ndpi", ".scn", ".qptiff")

NOTHING: list[Any] = [(None,)]
"""Return value of a reader that has handled a path without layers."""


def get_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """Return the reader of what we can open (napari's entry point).

    That is OME-Zarr folders and zip files (``.ozx``), TIFF, PNG, JPEG and ``.npy`` files, slides, what GDAL reads, and
    addresses of OME-Zarr and TIFF. A ``.json`` is read if it is a STAC item, whose asset may follow a ``#``.

    Parameters
    ----------
    path : str or list of str
        Path or address; lists are not read.

    Returns
    -------
    callable or None
        ``read``, or None for what we cannot open.
    """
    if isinstance(path, list):
        return None
    if is_item(path):
        return read
    if is_url(path):
        name = last_name(path).lower()
        return read if name.endswith(REMOTE_SUFFIXES) or ".zarr/" in urlsplit(path).path else None
    location = image_file(Path(path))
    if location.is_dir():
        return read if _is_zarr(location) or is_dicom_slide(location) else None
    if location.suffix.lower() == DICOM_SUFFIX:
        return read if location.is_file() and is_dicom_slide(location) else None  # others are for other plugins
    return read if location.suffix.lower() in SUFFIXES or _is_zarr(location) else None


def read(path: str) -> list[LayerData]:
    """Return the layers of a file or an address.

    Errors become a notification.

    Parameters
    ----------
    path : str
        Path or address.

    Returns
    -------
    list of LayerData
        Data, arguments and type of each layer; ``NOTHING`` after an error.
    """
    try:
        layers = image_layers(path)
    except FctlError as error:
        report(error)
        return NOTHING
    viewer = napari.current_viewer()
    if viewer is not None:
        found = [layer for layer in layers if layer[0] is not None]
        share_units(viewer, found)
        if any(GROUND_KEY in arguments["metadata"] for _, arguments, _ in found):
            show_ground(viewer)
    return layers


def image_layers(path: str | Path) -> list[LayerData]:
    """Return the layers of a file or an address: the image, then the label groups under it.

    Of a collection of images all are returned. Only the first is visible, because they may lie on top of each other.

    Parameters
    ----------
    path : str or Path
        Path or address.

    Returns
    -------
    list of LayerData
        Data, arguments and type of each layer.

    Raises
    ------
    InputError
        The file is missing or damaged, or is not an image.
    """
    path = asset_location(path)
    path = path if is_url(path) else Path(path)
    if not _may_be_zarr(path):
        return _one_image(path, stem(path), path)
    if _is_label_image(path):
        return label_groups.segmentation_layers(path, napari.current_viewer())
    names = collection(path)
    if not names:
        return _one_image(path, stem(path), path)
    if len(names) > 1:
        say(f"{last_name(path)}: holds {len(names)} images; {names[0]} is shown, the others are hidden layers.")
    layers: list[LayerData] = []
    for name in names:
        try:
            inner = child(path, name)
            found = _one_image(inner, f"{stem(path)} {name}", path if name == names[0] else inner)
        except FctlError as error:
            if len(names) == 1:
                raise
            report(error)
            continue
        layers += [(data, {**arguments, "visible": not layers}, kind) for data, arguments, kind in found]
    return layers or NOTHING


def _one_image(path: Path | str, name: str, original: Path | str) -> list[LayerData]:
    """Return the layers of one image, whose results are named after ``original``."""
    viewer = napari.current_viewer()
    stand_in = _large_raster(path) if isinstance(path, Path) else None
    converted = None
    if (isinstance(path, str) or image_file(path).is_file()) and ready_pyramid(path, pyramid_path(path)):
        converted = pyramid_path(path)
    elif viewer is not None and isinstance(path, Path) and stand_in is not None:
        return [_layer_in_the_making(viewer, path, stand_in, None)]
    pyramid = _open(converted or path)
    # A conversion does not know the other images of its file; a large PNG has none.
    in_file = pyramid if converted is None else None if stand_in is not None else open_image(path)
    images = () if in_file is None or len(in_file.images) < 2 else in_file.images
    if in_file is not None and images:
        original = in_file.path or original
        number = split_number(in_file.path or "")[1]
        name = stem(image_file(path)) if number is None else f"{stem(image_file(path))} {images[number].name or number}"
        words = listed(in_file.images, in_file.path)
        say(f"{last_name(image_file(path))}: holds {words}; others are chosen in the tab Segment.")
    pyramid.name = name
    if viewer is not None:
        _report_no_data(path, pyramid)
    if viewer is not None and not has_pyramid(pyramid):
        return [_layer_in_the_making(viewer, path, displayed_level(pyramid, 0), pyramid, original)]
    where = str(converted or path)
    source = ImageSource(where, str(original), pyramid.value_range, pyramid.bands, pyramid=pyramid, images=images)
    image = image_layer(pyramid, displayed_levels(pyramid), source, viewer)
    return [image, *_labels_under(path, image[1])]


def _report_no_data(path: Path | str, pyramid: Pyramid) -> None:
    """Report once, when it is measured in a thread, how much of an image holds no data."""

    def work(_progress: Progress) -> float:
        return share_without_data(pyramid)

    def report(share: float) -> None:
        if share:
            say(
                f"{last_name(path)}: {percent_of(share)} of this file hold no data ({pyramid.validity_source}); "
                "they are transparent, and get no class."
            )

    if pyramid.masked:
        job = Job(work)
        job.finished.connect(report)  # errors of the file are reported when it is read
        job.start()


def _put_on_ground(viewer: napari.Viewer, layer: Image, pyramid: Pyramid) -> None:
    """Place the layer of an image that was not opened before."""
    source = image_source(layer)
    assert source is not None
    try:
        placement, location = image_placement(pyramid, source, viewer)
    except FctlError as error:
        report(error)  # its layer stays where it is, in px
        return
    layer.metadata.update(ground_metadata(location))
    move(layer, placement)
    if location is not None:
        show_ground(viewer)
        bring_into_view(viewer, layer)


def _is_zarr(path: Path) -> bool:
    """Return whether a path is a Zarr, or leads into one in a zip file."""
    return (path.is_dir() or zip_file(path) is not None) and ngff.is_zarr(path)


def _may_be_zarr(path: Path | str) -> bool:
    """Return whether a path may be a Zarr, which at an address only the server knows."""
    return isinstance(path, str) or path.is_dir() or zip_file(path) is not None


def _is_label_image(path: Path | str) -> bool:
    """Return whether a path is a label group."""
    try:
        return ngff.is_label_image(ngff.open_group(path))
    except ngff.NoGroupError:
        return False


def open_shown(path: Path | str) -> tuple[Pyramid, list[str]]:
    """Open an image as it is shown (in any thread), and choose what napari cannot ask for.

    That is the range of its values, and three of many bands.

    Parameters
    ----------
    path : Path or str
        Path or address of the image.

    Returns
    -------
    image : Pyramid
        The image.
    notes : list of str
        Sentences about it for people.

    Raises
    ------
    InputError
        The file is missing or damaged, or is not an image.
    """
    pyramid = open_image(path)
    notes = [f"{note}." for note in pyramid.notes]
    if pyramid.bands is None and (pyramid.unclear_bands is not None or pyramid.channels not in (1, 3, 4)):
        reason = pyramid.unclear_bands or f"has {count_of(pyramid.channels, 'channel')}"
        pyramid.bands = (0, 1, 2) if pyramid.channels > 2 else (0, 0, 0)
        notes.append(f"{reason}; {pyramid.bands} are shown and segmented as RGB.")
    if pyramid.dtype != np.uint8 and pyramid.value_range is None:
        low, high = pyramid.value_range = measured_range(pyramid)
        least, most = PERCENTILES
        notes.append(
            f"holds {pyramid.dtype} values; {low:g} to {high:g} (percentiles {least:g} and {most:g} of a sample) are "
            "black to white, which the tab Segment changes."
        )
    return pyramid, [f"{last_name(path)}: {note}" for note in notes]


def _open(path: Path | str) -> Pyramid:
    """Open an image as it is shown, and say what is to be said of it."""
    pyramid, notes = open_shown(path)
    for note in notes:
        say(note)
    return pyramid


def _labels_under(path: Path | str, image: dict[str, Any]) -> list[LayerData]:
    """Return the layers of the label groups under an image, and report those that cannot be shown."""
    if not _may_be_zarr(path):
        return []
    layers = []
    for name in label_groups.label_names(path):
        labels = child(child(path, "labels"), name)
        try:
            layers.append(label_groups.labels_layer(labels, image=path, image_arguments=image))
        except FctlError as error:
            report(error)  # the image can be shown all the same
    return layers


def _large_raster(path: Path) -> Any:
    """Return an array with the shape and type of a large PNG or JPEG, or None.

    Decoding such an image takes seconds.
    """
    try:
        with PIL.Image.open(path, formats=("PNG", "JPEG")) as image:
            width, height, mode = *image.size, image.mode
            marked = has_transparency(image) or mask_beside(path) is not None
    except (OSError, ValueError, PIL.Image.DecompressionBombError):
        return None  # opening it reports the error
    if max(width, height) <= LARGE_SIDE or mode not in ("L", "RGB", "RGBA"):
        return None
    tail = (4,) if marked else () if mode == "L" else (3,)  # as displayed_level shows it
    return np.broadcast_to(np.uint8(0), (height, width, *tail))


def _layer_in_the_making(
    viewer: napari.Viewer, path: Path | str, level: Any, pyramid: Pyramid | None, original: Path | str | None = None
) -> LayerData:
    """Return a layer that shows a preview, and start the job that gives it a pyramid.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    path : Path or str
        Path or address of the image.
    level : object
        Array with the shape and type of the image's level 0 as it is displayed.
    pyramid : Pyramid or None
        The opened image; None if opening it takes long and is left to the job.
    original : Path, str or None, optional
        Location after which results are named. The default is ``path``.

    Returns
    -------
    LayerData
        Data, arguments and type of the layer.
    """
    preview = empty_preview(level)
    source = ImageSource(str(path), str(original or path))
    if pyramid is not None:
        source.images = pyramid.images if len(pyramid.images) > 1 else ()
        source.value_range, source.bands = pyramid.value_range, pyramid.bands

    def make_source() -> tuple[Pyramid, Path]:
        return (open_image(path) if pyramid is None else pyramid), pyramid_path(path)

    def layers() -> list[Image]:
        return [layer for layer in viewer.layers if isinstance(layer, Image) and image_source(layer) is source]

    def redraw() -> None:
        for layer in layers():
            layer.refresh(extent=False, highlight=False)

    def switch(out: str) -> None:
        source.path, source.job = out, None
        finished = open_image(out, value_range=source.value_range, bands=source.bands)
        source.pyramid, source.state = finished, file_state(out)
        for layer in layers():
            show_levels(layer, displayed_levels(finished), source)
            if pyramid is None:
                _put_on_ground(viewer, layer, finished)
        _report_no_data(path, finished)

    def fail(error: BaseException) -> None:
        source.job = None
        report(error)

    job = source.job = PyramidJob(make_source, f"pyramid of {last_name(path)}", preview=preview)
    job.previewed.connect(redraw)
    job.finished.connect(switch)
    job.failed.connect(fail)
    shown = pyramid or Pyramid(stem(path), [Level(level, "yxc" if level.ndim == 3 else "yx")])
    height, width = level.shape[:2]
    layer = image_layer(shown, preview_levels(preview, (height, width)), source, viewer)
    job.start()
    stored = level if pyramid is None else pyramid.levels[0]
    say(
        f"{last_name(path)}: is large and has no levels; a preview is shown while its pyramid is made, once, "
        f"{location_and_size(pyramid_path(path), stored)}."
    )
    return layer
