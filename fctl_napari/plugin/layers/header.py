"""Header of the dock: image, checkpoint and device, which all its tabs share."""

from __future__ import annotations

from typing import Any

import napari
from napari.layers import Image
from qtpy.QtWidgets import QVBoxLayout, QWidget

from fctl_napari.plugin.common.form_layout import labelled
from fctl_napari.plugin.common.last_choices import remember_choice
from fctl_napari.plugin.layers.choosers import CheckpointCombo, ImageCombo, combo, devices, row
from fctl_napari.plugin.layers.fitting import Fitting
from fctl_napari.plugin.layers.mask_combo import is_mask
from fctl_napari.segmentation.jobs.parameters import DEVICE

IMAGE_TIP = "The image layer that all tabs work on. It follows the active layer."


class Header(QWidget):
    """Fields for image, checkpoint and device.

    The image follows the active layer: an image itself, or the image that an active mask is of. Until the user has
    chosen a checkpoint, it is the one that fits the image, or none.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose images are offered.
    parent : QWidget or None, optional
        Qt's parent.

    Attributes
    ----------
    image : ImageCombo
        The image layer.
    checkpoint : CheckpointCombo
        The network.
    device : QComboBox
        The device that the network is run on.
    fitting : Fitting
        Chooser of the checkpoint that fits the image, until the user has chosen one.
    """

    def __init__(self, viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer: napari.Viewer | None = viewer
        self._locks: set[int] = set()
        self.image = ImageCombo(IMAGE_TIP)
        self.checkpoint = CheckpointCombo()
        self.device = combo(DEVICE.tooltip)
        self.checkpoint.setMinimumContentsLength(2)
        self.device.addItems(devices())
        remember_choice(self.device, "device")
        self.device.setFixedWidth(self.device.fontMetrics().horizontalAdvance("auto") + 52)
        fields = labelled(
            [
                ("Image", self.image),
                ("Checkpoint", row(self.checkpoint, self.checkpoint.open_file, self.device)),
            ]
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(9, 6, 9, 0)
        column.addLayout(fields)
        self.image.follow(viewer)
        self.fitting = Fitting(self.image, self.checkpoint, self)
        self.image.activated.connect(self._make_active)
        viewer.layers.selection.events.active.connect(self._follow_active)
        self._follow_active()
        self.fitting.look()

    def lock(self, owner: QWidget, locked: bool) -> None:
        """Lock the fields while a tab's work depends on them, or release them.

        Parameters
        ----------
        owner : QWidget
            The tab. The fields are free when no tab locks them.
        locked : bool
            If True, lock them.
        """
        (self._locks.add if locked else self._locks.discard)(id(owner))
        for field in (self.image, self.checkpoint, self.checkpoint.open_file, self.device):
            field.setEnabled(not self._locks)
        if not self._locks:
            self._follow_active()

    def leave(self) -> None:
        """Stop following the viewer."""
        viewer, self._viewer = self._viewer, None
        if viewer is not None:
            viewer.layers.selection.events.active.disconnect(self._follow_active)
            self.image.leave()
            self.fitting.leave()

    def _make_active(self, _index: int) -> None:
        """Make the image that the user has chosen the active layer, so that the next event does not undo the choice."""
        if self._viewer is not None and self.image.layer is not None:
            self._viewer.layers.selection.active = self.image.layer

    def _follow_active(self, _event: Any = None) -> None:
        """Choose the image that is active, or whose mask is."""
        if self._viewer is None or self._locks:
            return
        active, chosen = self._viewer.layers.selection.active, self.image.layer
        if active is None or active is chosen:
            return
        images = [self.image.itemData(index) for index in range(self.image.count())]
        if isinstance(active, Image):
            wanted = [image for image in images if image is active]
        elif chosen is not None and is_mask(self._viewer, active, chosen):
            return
        else:
            wanted = [image for image in images if is_mask(self._viewer, active, image)]
        if wanted:
            self.image.setCurrentIndex(images.index(wanted[0]))
