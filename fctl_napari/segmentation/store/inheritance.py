"""Predictions of another checkpoint that stay in a segmentation until a run computes those cells."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fctl_napari.imagery.formats import ngff_writing
from fctl_napari.model.model_card import Card
from fctl_napari.segmentation.store.copying import copy_levels, stored_alike
from fctl_napari.segmentation.store.store import ATTRIBUTE, INHERITED, Segmentation
from fctl_napari.segmentation.tiling.grid import merge_windows


def inherit(store: Segmentation, parent: Segmentation, cancelled: Callable[[], bool] = lambda: False) -> None:
    """Take over the predictions of another segmentation where one is not done.

    They stay until a run computes those cells. Predictions that the other one has inherited itself are passed on.
    The caller checks whether the two go together.

    Parameters
    ----------
    store : Segmentation
        Segmentation, open for writing.
    parent : Segmentation
        Segmentation of the same image, grid and classes.
    cancelled : callable, optional
        Called before each row of cells, or before each file where whole levels are copied; True stops. The next
        call resumes from there.

    Raises
    ------
    OutputError
        The disk is full or the folder is not writable.
    """
    name, identity = parent.facts["checkpoint"]["name"], parent.checkpoint_hash
    store.facts["parent"] = {"name": name, "hash": identity}
    store.labels.set_attributes({ATTRIBUTE: store.facts})
    shape = store.grid.rows, store.grid.cols
    with ngff_writing.writing(store.path):
        bitmap = store.labels.group.require_array(INHERITED, shape=shape, chunks=(512, 512), dtype="u1", fill_value=0)
    wanted = (parent.done() | parent.inherited()) & ~store.done() & ~store.inherited()
    pairs = [(store.labels, parent.labels), (store.confidence, parent.confidence)]
    pairs += [(store.maps[name], parent.maps[name]) for name in store.maps if name in parent.maps]
    if wanted.all() and all(stored_alike(own, other) for own, other in pairs):
        if all(copy_levels(own, other, cancelled) for own, other in pairs):
            with ngff_writing.writing(store.path):
                bitmap[:] = wanted
        return
    for row in map(int, np.flatnonzero(wanted.any(axis=1))):
        if cancelled():
            return
        cells = [(row, int(col)) for col in np.flatnonzero(wanted[row])]
        for window in merge_windows([store.grid.core(cell) for cell in cells]):
            for own, other in pairs:
                own.write(*window[:2], other.read(window))
                own.update_levels(window)
        with ngff_writing.writing(store.path):
            bitmap[row] = np.asarray(bitmap[row]) | wanted[row]


def renew(store: Segmentation, card: Card, checkpoint_hash: str) -> None:
    """Begin a segmentation anew with another checkpoint of the same settings and classes.

    What was predicted before stays, marked as inherited, until a run computes those cells.

    Parameters
    ----------
    store : Segmentation
        Segmentation, open for writing.
    card : Card
        Model card of the checkpoint.
    checkpoint_hash : str
        SHA-256 of the checkpoint.

    Raises
    ------
    OutputError
        The disk is full or the folder is not writable.
    """
    before, shape = store.facts["checkpoint"], (store.grid.rows, store.grid.cols)
    store.facts["parent"] = {"name": before["name"], "hash": before["hash"]}
    store.labels.set_attributes({ATTRIBUTE: store.facts})
    with ngff_writing.writing(store.path):
        bitmap = store.labels.group.require_array(INHERITED, shape=shape, chunks=(512, 512), dtype="u1", fill_value=0)
        bitmap[:] = store.done() | store.inherited()
        store.clear_done()
    store.facts["checkpoint"] = {"name": card.name, "hash": checkpoint_hash}  # last: no cell is said to be its own
    store.labels.set_attributes({ATTRIBUTE: store.facts})
