"""The map that a viewer works on, with the image that it is looked at over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fctl_napari.api.checkpoints import Checkpoint
from fctl_napari.api.correcting import corrections
from fctl_napari.api.image import Image
from fctl_napari.api.locations import cache_folder
from fctl_napari.api.maps import Map
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.exceptions import CheckpointError, InputError
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.imagery.naming import corrections_path
from fctl_napari.segmentation.jobs.refining import image_of
from fctl_napari.segmentation.store.identity import same_image
from fctl_napari.segmentation.store.result_paths import own_corrections
from fctl_napari.segmentation.store.store import Segmentation


@dataclass(frozen=True)
class ViewedMap:
    """A map with its image, which networks and painting need.

    Attributes
    ----------
    map : Map
        The map.
    image : Image
        Its image.
    store : Segmentation
        The prediction on disk.
    checkpoint : Checkpoint or None
        Its network. None finds it among the built-in ones and beside the map and its image.
    """

    map: Map
    image: Image
    store: Segmentation
    checkpoint: Checkpoint | None = None

    @classmethod
    def of(cls, source: Map, image: Image | None, checkpoint: Checkpoint | None = None) -> ViewedMap:
        """Bring a map and its image together.

        Parameters
        ----------
        source : Map
            The map.
        image : Image or None
            The image that it is shown over. None takes the one where the map says.
        checkpoint : Checkpoint or None, optional
            Its network. None finds it.

        Returns
        -------
        ViewedMap
            Both.

        Raises
        ------
        InputError
            There is no image, it is another one, or it is no file; or the network is not the one that made the map.
        """
        image = image or source.image
        if image is None:
            raise InputError(f"{source.path}: its image is not where it was; give the image, too.")
        store = source.prediction.source
        assert isinstance(store, Segmentation)
        if not same_image(store.facts["image"], image.pyramid):
            raise InputError(f"{source.path}: is a map of another image than {image.name}; show it with its own.")
        if checkpoint is not None and checkpoint.hash != store.checkpoint_hash:
            raise InputError(f"{checkpoint.path}: did not make {source.path}; give the network that did.")
        if image.path is None:
            raise InputError(f"{image.name}: is an array; show the file that it is in, to paint and to ask.")
        return cls(source, image, store, checkpoint)

    @property
    def path(self) -> str:
        """Absolute path or address of the image's file."""
        assert self.image.path is not None
        return self.image.path if is_url(self.image.path) else str(Path(self.image.path).absolute())

    def network(self) -> Checkpoint:
        """Return the network that made the map.

        Returns
        -------
        Checkpoint
            The network.

        Raises
        ------
        CheckpointError
            It is not at hand.
        """
        if self.checkpoint is not None:
            return self.checkpoint
        try:
            return self.map.network()
        except CheckpointError:
            name = self.map.checkpoint
            raise CheckpointError(
                f"{self.map.path}: its network ({name}) is not at hand; show it with checkpoint=FILE."
            ) from None

    def settings(self) -> dict[str, Any]:
        """Return how the map was computed, as requests of its network take it.

        Returns
        -------
        dict of str to object
            Fields of requests.

        Raises
        ------
        FctlError
            The network is not at hand.
        """
        _, value_range, bands = image_of(self.store)
        return {
            "image": self.path,
            "checkpoint": str(self.network().path.absolute()),
            "overlap": self.store.facts["grid"].get("overlap"),
            "exact_contexts": bool(self.store.settings.get("exact_contexts")),
            "value_range": value_range,
            "bands": bands,
        }

    def open_corrections(self, *, write: bool) -> Corrections:
        """Open the corrections of the image.

        Parameters
        ----------
        write : bool
            If True, for writing; they are made if need be.

        Returns
        -------
        Corrections
            The corrections.

        Raises
        ------
        InputError
            They are of another image, or there are none to be read.
        OutputError
            They are being written elsewhere, or the folder is not writable.
        """
        return corrections(self.image, classes=self.map, write=write)

    @property
    def corrections_path(self) -> Path:
        """Path of the corrections, which need not exist."""
        return own_corrections(corrections_path(self.path, cache_folder), self.image.pyramid)
