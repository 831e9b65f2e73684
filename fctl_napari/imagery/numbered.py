"""Numbers of the images in a file that holds several, as ``slide.svs#image=1``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from fctl_napari.exceptions import InputError

LocationT = TypeVar("LocationT", bound=Path | str)

MOST_LISTED = 16
"""Largest number of images of a file that are listed."""

_MARK = re.compile(r"#image=(\d+)$")


@dataclass(frozen=True)
class FileImage:
    """One of the images of a file.

    Attributes
    ----------
    name : str
        Name in the file, such as ``"label"``. It may be empty.
    shape : tuple of 2 int or None
        (height, width), px. None if it is not known before it is opened.
    location : str
        Path or address by which it is opened.
    """

    name: str
    shape: tuple[int, int] | None
    location: str

    def words(self, number: int) -> str:
        """Describe the image for people.

        Parameters
        ----------
        number : int
            Its number.

        Returns
        -------
        str
            Number, name and size, such as ``"2 label 387 x 463"``.
        """
        name = "" if self.name == str(number) else self.name
        size = "" if self.shape is None else f"{self.shape[1]} x {self.shape[0]}"
        return " ".join(part for part in (str(number), name, size) if part)


def split_number(location: LocationT) -> tuple[LocationT, int | None]:
    """Split a location into the file and the number of the image in it.

    Parameters
    ----------
    location : Path or str
        Path or address. A file whose own name ends like a number is that file.

    Returns
    -------
    location : Path or str
        Path or address of the file, of the same type.
    number : int or None
        Number of the image, from 0. None if none is stated.

    Raises
    ------
    InputError
        It ends in ``#image=`` and something that is no number.
    """
    text = str(location)
    found = _MARK.search(text)
    file, mark, word = text.rpartition("#image=")
    if mark and found is None and "://" not in text and Path(file).exists() and not Path(text).exists():
        raise InputError(f"{file}: has no image {word!r}; give its number, as in {file}#image=0.")
    if found is None or ("://" not in text and Path(text).exists()):
        return location, None
    file = text[: found.start()]
    return cast(LocationT, Path(file) if isinstance(location, Path) else file), int(found[1])


def image_file(location: LocationT) -> LocationT:
    """Return the file of an image, whichever of its images is meant.

    Parameters
    ----------
    location : Path or str
        Path or address of an image.

    Returns
    -------
    Path or str
        Path or address of the file.
    """
    return split_number(location)[0]


def with_number(location: str, number: int | None) -> str:
    """Return the location of an image in a file.

    Parameters
    ----------
    location : str
        Path or address of the file.
    number : int or None
        Number of the image, from 0. None leaves the location as it is.

    Returns
    -------
    str
        Location.

    Raises
    ------
    InputError
        The location names another image.
    """
    own = split_number(location)[1]
    if number is not None and own not in (None, number):
        raise InputError(
            f"{location}: names another image than number {number}, which is given too; leave one of the two out."
        )
    return location if number is None else f"{image_file(location)}#image={number}"


def file_images(
    path: Path | str, found: Sequence[tuple[str, tuple[int, int] | None]], number: int | None
) -> tuple[int, tuple[FileImage, ...]]:
    """Choose one of the images of a file: the stated one, or else the largest.

    Parameters
    ----------
    path : Path or str
        Path or address of the file.
    found : sequence of (str, tuple of 2 int or None)
        Name and (height, width) of each image. If sizes are not known, the first counts as the largest.
    number : int or None
        Number of the wanted image.

    Returns
    -------
    number : int
        Number of the chosen image.
    images : tuple of FileImage
        All images. The one that is opened by default has the path of the file for its location.

    Raises
    ------
    InputError
        There is no image of this number.
    """
    areas = [0 if shape is None else shape[0] * shape[1] for _, shape in found]
    largest = areas.index(max(areas))
    if number is not None and number >= len(found):
        held = "one image, 0" if len(found) == 1 else f"{len(found)} images, 0 to {len(found) - 1}"
        raise InputError(f"{path}: has no image {number}, but {held}; fctl info lists them.")
    locations = [str(path) if index == largest else f"{path}#image={index}" for index in range(len(found))]
    images = tuple(FileImage(name, shape, where) for (name, shape), where in zip(found, locations, strict=True))
    return largest if number is None else number, images


def listed(images: Sequence[FileImage], location: str | None) -> str:
    """List the images of a file in words.

    Parameters
    ----------
    images : sequence of FileImage
        All images of the file.
    location : str or None
        Location of the one that is open.

    Returns
    -------
    str
        Numbers and names, and which one is open. Empty for a single image.
    """
    if len(images) < 2:
        return ""
    words = [image.words(number) for number, image in enumerate(images[:MOST_LISTED])]
    shown = ", ".join([*words, "..."] if len(words) < len(images) else words)
    opened = next((number for number, image in enumerate(images) if image.location == location), 0)
    return f"{len(images)} images: {shown}; {opened} is open"
