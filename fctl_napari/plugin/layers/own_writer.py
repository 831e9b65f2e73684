"""Preference of our writer for layers of ours that napari saves."""

from __future__ import annotations

import contextlib

from npe2 import PluginManager

COMMAND = "fctl-napari.write_labels"
"""Writer of our manifest, which leaves other people's labels to the writer that comes after it."""

SAVED_KEY = "fctl_saved"
"""Key of a layer's ``metadata`` that holds the store and what of it is saved with the layer, if it is no mask."""


def prefer_own_writer() -> None:
    """Have napari ask our writer of labels first, as napari's own cannot write several levels.

    Call this when a layer of ours is made. Other labels are saved as without it, see ``plugin.io.writer``.
    """
    # npe2 takes the first of several writers in its list, and has no other way to prefer one.
    with contextlib.suppress(AttributeError):
        PluginManager.instance()._contrib._writers.sort(key=lambda entry: entry[-1].command != COMMAND)
