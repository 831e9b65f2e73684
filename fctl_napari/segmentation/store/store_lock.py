"""Lock of a segmentation on disk, and the decision whether a run resumes the one that exists (no torch)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from fctl_napari.exceptions import InputError, OutputError
from fctl_napari.files import missing_folders, output_error, remove_empty, remove_folder, set_aside
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.model_card import Card
from fctl_napari.segmentation.store import inheritance
from fctl_napari.segmentation.store.identity import difference, refreshed, same_image
from fctl_napari.segmentation.store.store import ATTRIBUTE, Segmentation
from fctl_napari.segmentation.tiling.grid import Grid

LOCK_TIMEOUT = 5.0
"""Time to wait for a store that another run is just releasing, s."""


@dataclass(frozen=True, eq=False)
class OpenedStore:
    """A segmentation that a run opened, and what it took the place of.

    Attributes
    ----------
    store : Segmentation
        The segmentation, open for writing.
    made : bool
        True if it was created now.
    replaced : Path or None, optional
        Path under which the earlier segmentation lies, until one of the methods is called. None if there was none.
    """

    store: Segmentation
    made: bool
    replaced: Path | None = None

    def keep(self) -> None:
        """Delete the earlier segmentation."""
        if self.replaced is not None:
            shutil.rmtree(self.replaced, ignore_errors=True)

    def take_back(self) -> None:
        """Leave what was there before the run.

        Raises
        ------
        OutputError
            The location is not writable.
        """
        if self.made:
            remove_store(self.store.path)
        if self.replaced is not None:
            _put_back(self.replaced, self.store.path)


def open_or_create(
    path: Path,
    *,
    image: Pyramid,
    grid: Grid,
    card: Card,
    checkpoint_hash: str,
    settings: Mapping[str, Any],
    fresh: bool,
    renew: bool = False,
) -> OpenedStore:
    """Open the segmentation at a path to resume it, or create it.

    The caller holds its lock.

    Parameters
    ----------
    path : Path
        Folder of the segmentation.
    image : Pyramid
        The image.
    grid : Grid
        Grid of the cells to compute.
    card : Card
        Model card of the checkpoint.
    checkpoint_hash : str
        SHA-256 of the checkpoint.
    settings : mapping of str to object
        Everything else on which the result depends (JSON), as for ``Segmentation.create``.
    fresh : bool
        If True, replace an existing segmentation.
    renew : bool, optional
        If True, begin an existing one anew in its place if another checkpoint is all that differs (see
        ``Segmentation.renew``), and replace any other.

    Returns
    -------
    OpenedStore
        The segmentation, open for writing.

    Raises
    ------
    OutputError
        Something else is there, or a segmentation of another image, checkpoint or with other settings.
    """
    facts, replaced = _facts(path), None
    if facts is not None and not facts.get("complete"):
        remove_store(path)
        facts = None
    elif facts is not None and fresh:
        replaced = set_aside(path)
        facts = None
    if facts is not None:
        differs = [
            word
            for word, same in (
                ("image", same_image(facts["image"], image)),
                ("checkpoint", facts["checkpoint"]["hash"] == checkpoint_hash),
                *((name, _same(name, facts["settings"].get(name), value, image)) for name, value in settings.items()),
                ("overlap", facts["grid"] == grid.facts()),
            )
            if not same
        ]
        store = Segmentation.open(path, mode="r+")
        if renew and differs == ["checkpoint"] and store.class_table == card.classes:
            inheritance.renew(store, card, checkpoint_hash)
            return OpenedStore(store, made=False)
        if renew and differs:
            return open_or_create(
                path, image=image, grid=grid, card=card, checkpoint_hash=checkpoint_hash, settings=settings, fresh=True
            )
        if differs and (store.done().any() or store.inherited().any()):
            what = f"with another {differs[0].replace('_', ' ')}"
            if differs[0] == "image":
                what = f"of another image ({difference(facts['image'], LabelPyramid.open(path).shape, image)})"
            if differs[0] == "validity":
                what = "that knew other px without data"
            raise OutputError(
                f"{path}: holds a segmentation {what}; start it afresh with --fresh (in Python: fresh=True) or choose "
                "another name."
            )
        if not differs:
            now = refreshed(facts, image)
            if now is not None:
                store.facts.update(now)
                store.labels.set_attributes({ATTRIBUTE: store.facts})
            return OpenedStore(store, made=False)
        remove_store(path)  # left by a run that was stopped before it computed anything
    try:
        store = Segmentation.create(
            path, image=image, grid=grid, card=card, checkpoint_hash=checkpoint_hash, settings=settings
        )
    except BaseException:
        with suppress(OutputError):
            remove_store(path)
        if replaced is not None:
            _put_back(replaced, path)
        raise
    return OpenedStore(store, made=True, replaced=replaced)


def open_parent(
    path: Path, out: Path, image: Pyramid, grid: Grid, card: Card, settings: Mapping[str, Any]
) -> Segmentation:
    """Open the segmentation whose predictions another one takes over.

    Parameters
    ----------
    path : Path
        Folder of the parent's segmentation.
    out : Path
        Folder of the segmentation that takes over.
    image : Pyramid
        The image of both.
    grid : Grid
        Grid of the segmentation that takes over.
    card : Card
        Model card of its checkpoint.
    settings : mapping of str to object
        Its settings (JSON).

    Returns
    -------
    Segmentation
        The parent's segmentation, open for reading.

    Raises
    ------
    InputError
        There is none, it is the one at ``out``, or it is of another image, grid or classes.
    """
    parent = Segmentation.open(path)
    if path.resolve() == out.resolve():
        raise InputError(f"{path}: cannot take over its own tiles; choose another name for the new segmentation.")
    differs = [
        word
        for word, same in (
            ("is of another image", same_image(parent.facts["image"], image)),
            ("has another grid of tiles", parent.facts["grid"] == grid.facts()),
            *(
                (
                    f"was made with another {words}",
                    _same(name, parent.settings.get(name), settings.get(name), image),
                )
                for name, words in (
                    ("merge", "merge"),
                    ("value_range", "range of values"),
                    ("bands", "choice of bands"),
                    ("network_bands", "choice of bands"),
                    ("validity", "knowledge of px without data"),
                )
            ),
            ("has other classes", parent.class_table.names == card.classes.names),
        )
        if not same
    ]
    if differs:
        raise InputError(f"{path}: {differs[0]}, so that none of its tiles can be taken over; segment without it.")
    return parent


def _same(name: str, stored: Any, wanted: Any, image: Pyramid) -> bool:
    """Return whether two settings mean the same: a range or bands that the file itself states need not be stated."""
    if stored == wanted:
        return True
    if name not in ("value_range", "bands") or None not in (stored, wanted) or image.path is None:
        return False
    own = getattr(open_image(image.path), name)
    return own is not None and list(own) == list(stored or wanted)


class StoreLock:
    """Lock of a store, by which one run at a time writes it.

    The system drops the lock when the process dies.

    Parameters
    ----------
    path : Path
        Folder of the store.
    timeout : float or None, optional
        Time to wait for a run that is just releasing the store, s; by default ``LOCK_TIMEOUT``.

    Raises
    ------
    OutputError
        Another run holds it, or the folder is not writable.
    """

    def __init__(self, path: Path, timeout: float | None = None) -> None:
        self._path = path
        self._file = path.with_name(f".{path.name}.lock")
        self._made = missing_folders(path.parent)
        self._lock = filelock.FileLock(self._file, thread_local=False)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=LOCK_TIMEOUT if timeout is None else timeout)
        except filelock.Timeout:
            raise OutputError(f"{path}: is in use by another run; wait for it, or choose another name.") from None
        except OSError as error:
            remove_empty(self._made)
            raise output_error(path, error) from error

    def release(self) -> None:
        """Release the lock. Where there is no store in the end, nothing is left of the lock and of its folders."""
        if not self._lock.is_locked:
            return
        nothing = not self._path.exists()
        if nothing:
            with suppress(OSError):  # Windows deletes it with the release
                self._file.unlink()  # while it is held: whoever waits for it looks for the file again
        self._lock.release()
        if nothing:
            remove_empty(self._made)


def lock_store(path: Path, timeout: float | None = None) -> StoreLock:
    """Take the lock of a store, so that one run at a time writes it.

    Parameters
    ----------
    path : Path
        Folder of the store.
    timeout : float or None, optional
        Time to wait for a run that is just releasing the store, s; by default ``LOCK_TIMEOUT``.

    Returns
    -------
    StoreLock
        The lock, acquired.

    Raises
    ------
    OutputError
        Another run holds it, or the folder is not writable.
    """
    return StoreLock(path, timeout)


def _facts(path: Path) -> dict[str, Any] | None:
    """Read the facts of the segmentation at a path, or return None if nothing is there."""
    if not path.exists():
        return None
    try:
        facts = LabelPyramid.open(path).attributes.get(ATTRIBUTE, {})
    except InputError:
        facts = {}
    if facts.get("kind") != "segmentation":
        raise OutputError(f"{path}: exists and is not a segmentation; choose another name.")
    return dict(facts)


def _put_back(replaced: Path, path: Path) -> None:
    """Give a segmentation its path again."""
    try:
        replaced.rename(path)
    except OSError as error:
        raise output_error(path, error) from error


def remove_store(path: Path) -> None:
    """Delete a store, so that its name is free at once.

    Parameters
    ----------
    path : Path
        Folder of the store.
    """
    remove_folder(path)
