"""Images and their corrections, as named for ``fctl finetune``."""

from __future__ import annotations

from collections.abc import Sequence
from glob import escape
from pathlib import Path

from fctl_napari.exceptions import ConfigError, InputError


def find_pairs(arguments: Sequence[str], number: int | None) -> list[tuple[str, str]]:
    """Pair images with their corrections, which follow them or lie beside them.

    Parameters
    ----------
    arguments : sequence of str
        Images, each perhaps followed by its corrections; folders and globs, of whose images the corrected ones count.
    number : int or None
        Number of the image in a file of several, of a single image.

    Returns
    -------
    list of tuple of (str, str)
        Image and corrections.

    Raises
    ------
    InputError
        A file is missing, an image has no corrections, or corrections have no image.
    ConfigError
        A number is given with several images.
    """
    from fctl_napari.datasets.image_list import is_several, list_images
    from fctl_napari.imagery.formats.remote import is_url
    from fctl_napari.imagery.numbered import image_file, with_number

    pairs: list[tuple[str, str | None]] = []
    for position, argument in enumerate(arguments):
        second = position == 1 and len(arguments) == 2
        if is_several(argument):
            found = [(image, _corrections_beside(image)) for image in list_images([argument]).images]
            corrected = [pair for pair in found if pair[1] is not None]
            if not corrected:
                raise InputError(f"{argument}: none of its images has corrections beside it; paint some first.")
            pairs += corrected
        elif not is_url(argument) and not Path(image_file(argument)).exists():
            raise InputError(f"{argument}: there is no such file; check the path.")
        elif not _is_corrections(argument, plain=second):
            pairs.append((argument, None))
        elif not pairs or pairs[-1][1] is not None:
            raise InputError(
                f"{argument}: is a label image that follows no image; name the image before its corrections."
            )
        else:
            pairs[-1] = (pairs[-1][0], argument)
    if number is not None:
        if len(pairs) > 1:
            raise ConfigError("--image is of one file, and several images are named; add #image=N to their names.")
        pairs[0] = (with_number(pairs[0][0], number), pairs[0][1])
    complete = [(image, given or _corrections_beside(image)) for image, given in pairs]
    missing = next((image for image, given in complete if given is None), None)
    if missing is not None:
        raise InputError(f"{missing}: has no corrections beside it; name them after it, or paint some first.")
    return [(image, str(given)) for image, given in complete]


def _is_corrections(argument: str, *, plain: bool) -> bool:
    """Return whether an argument is corrections or a label image, rather than an image.

    If ``plain``, a Zarr of one channel that says nothing of itself is one, too.
    """
    from fctl_napari.imagery.formats.ngff import is_label_image, is_zarr
    from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
    from fctl_napari.segmentation.store.store import ATTRIBUTE

    path = Path(argument)
    if not (path.is_dir() and is_zarr(path)):
        return False
    try:
        labels = LabelPyramid.open(path)
    except InputError:
        return False
    ours = labels.attributes.get(ATTRIBUTE)
    return plain or is_label_image(labels.group) or (isinstance(ours, dict) and "kind" in ours)


def _corrections_beside(location: str) -> str | None:
    """Return the path of the corrections beside an image, if there are some."""
    from fctl_napari.imagery.formats.remote import is_url
    from fctl_napari.imagery.naming import CORRECTIONS_SUFFIX, corrections_path
    from fctl_napari.imagery.open import open_image
    from fctl_napari.segmentation.store.result_paths import corrections_of_no_file, own_corrections
    from fctl_napari.segmentation.store.store_swap import finish_swap

    if is_url(location):
        return None
    try:
        usual = corrections_path(location)
    except InputError:
        return None
    finish_swap(usual)
    begin = usual.name.removesuffix(CORRECTIONS_SUFFIX)
    named_after_it = any(usual.parent.glob(f"{escape(begin)}.*{CORRECTIONS_SUFFIX.removeprefix('.')}"))
    if not named_after_it and not corrections_of_no_file(usual.parent):
        return None
    path = own_corrections(usual, open_image(location))
    return str(path) if path.is_dir() else None
