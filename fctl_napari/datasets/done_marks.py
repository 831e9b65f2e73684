"""Marks of the images of a folder that people are done with, kept in a file in it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from fctl_napari.exceptions import InputError, reason_of
from fctl_napari.files import write_json

FILE = "fctl-images.json"
"""Name of the file in its folder."""

_KEY = "fctl_images"
_VERSION = 1


class DoneMarks:
    """Marks of images, read from a file and written to it at each change.

    Images are known by their paths in the folder, so that it can be moved.

    Parameters
    ----------
    path : Path
        Path of the file, which need not exist.
    folder : Path
        Folder of the images.

    Raises
    ------
    InputError
        The file is damaged.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        self.path = path
        self._folder = folder.absolute()
        self._done = self._read()

    def __contains__(self, location: str) -> bool:
        """Return whether an image is marked."""
        return self._path_in_folder(location) in self._done

    def mark(self, location: str, *, done: bool) -> None:
        """Mark an image, or remove its mark, and write the file.

        Parameters
        ----------
        location : str
            Path of the image.
        done : bool
            If True, it is done.

        Raises
        ------
        InputError
            The file was damaged in the meantime; it stays as it is.
        OutputError
            The disk is full or the location is not writable.
        """
        marked = self._read()  # another window may have written
        (marked.add if done else marked.discard)(self._path_in_folder(location))
        write_json(self.path, {_KEY: _VERSION, "done": sorted(marked)})
        self._done = marked

    def _path_in_folder(self, location: str) -> str:
        """Return the path of an image in the folder."""
        return Path(os.path.relpath(Path(location).absolute(), self._folder)).as_posix()

    def _read(self) -> set[str]:
        """Read the paths of the images that are marked."""
        try:
            document = json.loads(self.path.read_text("utf-8"))
            if document[_KEY] != _VERSION or not all(isinstance(path, str) for path in document["done"]):
                raise ValueError("another version")
            return set(document["done"])
        except FileNotFoundError:
            return set()
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise InputError(
                f"{self.path}: is no file of marks of images, or is damaged ({reason_of(error)}); mend it, or move it "
                "away to start anew."
            ) from error
