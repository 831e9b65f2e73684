"""Paths of results, named after their image. A path that belongs to another image is not used a second time."""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from fctl_napari.cache.entries import cache_path
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.fingerprint import SAMPLED, fingerprint
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.imagery.naming import CORRECTIONS_SUFFIX, IMAGE_SUFFIXES, paths_of, stem
from fctl_napari.imagery.numbered import image_file
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.segmentation.store.identity import same_image
from fctl_napari.segmentation.store.store_swap import finish_swap
from fctl_napari.segmentation.store.stored_image import stored_image

STORE_SUFFIX = ".fctl.ome.zarr"
MAPS_SUFFIX = f".maps{STORE_SUFFIX}"


def own_path(usual: Path, image: Pyramid) -> Path:
    """Return the path at which results of an image are kept.

    It is the usual path, or another one if the usual one belongs to another image.

    Parameters
    ----------
    usual : Path
        Path named after the image's file. Two files may share it, and a file may hold another picture than before.
    image : Pyramid
        The image.

    Returns
    -------
    Path
        Path of the results.

    Raises
    ------
    InputError
        The image cannot be read.
    """
    stored = stored_image(usual)
    return usual if stored is None or same_image(stored, image) else named_path(usual, image)


def named_path(usual: Path, image: Pyramid) -> Path:
    """Return a path beside the usual one that is named after the fingerprint of an image too.

    Parameters
    ----------
    usual : Path
        Path named after the image's file.
    image : Pyramid
        The image.

    Returns
    -------
    Path
        The usual path with eight digits of the fingerprint before its suffix.

    Raises
    ------
    InputError
        The image cannot be read.
    """
    return _named(usual, fingerprint(image))


def _named(usual: Path, word: str) -> Path:
    """Return the usual path with eight digits of a fingerprint before its suffix."""
    word = word.removeprefix(SAMPLED)[:8]
    suffix = next((end for end in (MAPS_SUFFIX, STORE_SUFFIX, CORRECTIONS_SUFFIX) if usual.name.endswith(end)), "")
    return usual.with_name(f"{usual.name.removesuffix(suffix)}.{word}{suffix}")


def result_in(
    folder: Path,
    image: Pyramid,
    location: str,
    checkpoint: str | Path,
    *,
    maps: bool = False,
    taken: Collection[Path] = (),
) -> Path:
    """Return the path in a folder of several results at which that of one image is kept.

    It is called as beside its image. Where that name belongs to another image, or to another file of the same pixels
    (blank tiles, say), a number follows the image's name: ``tile-2.earth.fctl.ome.zarr``.

    Parameters
    ----------
    folder : Path
        Folder of the results.
    image : Pyramid
        The image, opened.
    location : str
        Path or address of the image.
    checkpoint : str or Path
        Built-in name or file of the checkpoint.
    maps : bool, optional
        If True, maps are kept with the result.
    taken : collection of Path, optional
        Paths of other images' results.

    Returns
    -------
    Path
        Path of the result, which need not exist.

    Raises
    ------
    InputError
        The image cannot be read.
    """
    name = stem(location)
    end = f".{Path(checkpoint).name.removesuffix('.safetensors')}{MAPS_SUFFIX if maps else STORE_SUFFIX}"
    for number in itertools.count(1):
        path = folder / f"{name}{'' if number == 1 else f'-{number}'}{end}"
        if path in taken:
            continue
        stored = stored_image(path)
        if stored is None or _is_file_of(stored, image):
            return path
        if same_image(stored, image) and not is_another_file(stored, image):
            return path
    raise AssertionError


def _is_file_of(stored: Mapping[str, Any], image: Pyramid | Mapping[str, Any]) -> bool:
    """Return whether a store records the path of an image, whatever pixels lie there now."""
    path = image.path if isinstance(image, Pyramid) else image["path"]
    if stored["path"] is None or path is None:
        return False
    if is_url(stored["path"]) or is_url(path):
        return bool(stored["path"] == path)
    return Path(stored["path"]).resolve() == Path(path).resolve()


def is_another_file(stored: Mapping[str, Any], image: Pyramid) -> bool:
    """Return whether a store belongs to another file than the opened one, and that file still exists.

    Parameters
    ----------
    stored : mapping of str to object
        Identity of the image, as the store records it.
    image : Pyramid
        The image, opened.

    Returns
    -------
    bool
        True if the store's image lies in another file, unchanged.

    Raises
    ------
    InputError
        The image cannot be read.
    """
    path = stored["path"]
    if path is None or is_url(path) or image.path is None or is_url(image.path) or not image_file(Path(path)).exists():
        return False
    if Path(path).resolve() == Path(image.path).resolve():
        return False
    try:
        return same_image(stored, open_image(path))
    except InputError:
        return False


def own_corrections(usual: Path, image: Pyramid) -> Path:
    """Return the path at which the corrections of an image are kept, as far as it is known without asking.

    Parameters
    ----------
    usual : Path
        Usual path, see ``naming.corrections_path``.
    image : Pyramid
        The image.

    Returns
    -------
    Path
        Path where corrections of this image lie: the usual one, or the one that is named after its fingerprint. Where
        there are none, it is the usual path if that is free, and the named one if the usual corrections are those of
        another file that still exists. Else it is the usual path: its corrections may have been painted on what this
        file held before, and people have to decide. Where nothing is at the path, corrections of this image that a
        renamed file has left beside it are taken.

    Raises
    ------
    InputError
        The image cannot be read.
    """
    named = named_path(usual, image)
    for path in (usual, named):
        finish_swap(path)
    stored = stored_image(usual)
    if stored is not None and same_image(stored, image):
        return usual
    its = stored_image(named)
    if its is not None and same_image(its, image):
        return named
    path = named if its is None and stored is not None and is_another_file(stored, image) else usual
    return path if path.exists() else next(_left_behind(usual.parent, image), path)


def corrections_of_no_file(folder: Path) -> list[Path]:
    """List the corrections in a folder that are named after no file in it, by the names alone.

    Parameters
    ----------
    folder : Path
        Folder of images.

    Returns
    -------
    list of Path
        Their folders. In the user's cache, whose names are others, there are none.
    """
    if folder == cache_path() or not folder.is_dir():
        return []
    names = os.listdir(folder)
    files = {name.lower() for name in names}
    ours = ((name, name.removesuffix(CORRECTIONS_SUFFIX).lower()) for name in sorted(names) if _is_name(name))
    return [folder / name for name, begin in ours if files.isdisjoint(begin + end for end in ("", *IMAGE_SUFFIXES))]


def _is_name(name: str) -> bool:
    """Return whether a name is one of corrections, and of none that is being made or removed."""
    return name.endswith(CORRECTIONS_SUFFIX) and not name.startswith(".")


def _left_behind(folder: Path, image: Pyramid | Mapping[str, Any]) -> Iterator[Path]:
    """Yield the corrections of an image in a folder that were named after another file, which is gone."""
    for path in corrections_of_no_file(folder):
        stored = stored_image(path)
        if stored is None or not same_image(stored, image):
            continue
        its = stored["path"]
        if its is None or is_url(its) or not image_file(Path(its)).exists() or _is_file_of(stored, image):
            yield path


def usual_corrections(image: Mapping[str, Any], store: Path) -> list[Path]:
    """List the corrections that lie at the usual paths of the image of a store, whoever's they are.

    See ``stored_image`` for whose they are.

    Parameters
    ----------
    image : mapping of str to object
        Identity of the image, as the store records it.
    store : Path
        Path of the store.

    Returns
    -------
    list of Path
        Those of ``usual_corrections_paths`` that exist.
    """
    paths = usual_corrections_paths(image, store)
    for path in paths:
        finish_swap(path)
    return [path for path in paths if path.is_dir()]


def usual_corrections_paths(image: Mapping[str, Any], store: Path) -> list[Path]:
    """List the usual paths of the corrections of the image of a store.

    The image itself may be gone.

    Parameters
    ----------
    image : mapping of str to object
        Identity of the image, as the store records it.
    store : Path
        Path of the store. An image is looked for beside it too, as ``open_image_of`` does.

    Returns
    -------
    list of Path
        Folders, which need not exist: named after the image's file, or the file that its pyramid was made of, and
        perhaps its fingerprint; beside that file, beside the store, or in the user's cache. Those of this image that
        a renamed file has left there follow.
    """
    if image["path"] is None:
        return []
    locations = [image["path"]]
    if not is_url(image["path"]):
        locations.append(str(store.absolute().parent / Path(image["path"]).name))
    locations += [origin for location in locations if (origin := _origin(location)) is not None]
    cache = cache_path()
    usual = [path for location in locations for path in paths_of(location, CORRECTIONS_SUFFIX, cache)]
    if image["fingerprint"] is None:
        return list(dict.fromkeys(usual))
    named = [_named(path, image["fingerprint"]) for path in usual]
    left = [path for folder in dict.fromkeys(path.parent for path in usual) for path in _left_behind(folder, image)]
    return list(dict.fromkeys([*usual, *named, *left]))


def _origin(location: str) -> str | None:
    """Return the file that the pyramid at a location was made of. None if it is no such pyramid."""
    if is_url(location) or not Path(location).is_dir():
        return None
    try:
        origin = open_image(location).origin
    except InputError:
        return None
    return None if origin is None else origin.path
