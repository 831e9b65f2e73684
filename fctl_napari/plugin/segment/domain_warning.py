"""Warning that an image, or its result, is unlike the data that the network was trained on."""

from __future__ import annotations

from napari.layers import Image
from qtpy.QtCore import QObject

from fctl_napari.evaluation.domain import out_of_domain
from fctl_napari.model.model_card import Card
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.layers.image_source import image_source
from fctl_napari.plugin.segment.form import SegmentForm
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.store import Segmentation


class DomainWarning(QObject):
    """Comparison of an image with what a network knows, in a thread.

    Parameters
    ----------
    form : SegmentForm
        Form that shows the warning, which is Qt's parent.
    """

    def __init__(self, form: SegmentForm) -> None:
        super().__init__(form)
        self._form = form
        self._jobs = Jobs(self)

    @property
    def running(self) -> bool:
        """True while an image is compared."""
        return self._jobs.running

    def compare(self, image: Image | None, card: Card | None, result: str | None = None) -> None:
        """Warn if an image, or a result, is unlike the data that a network was trained on.

        Parameters
        ----------
        image : Image or None
            The image layer. None if there is none.
        card : Card or None
            The network's model card. None if there is none.
        result : str or None, optional
            Path of the image's result by the network. None compares the image alone.
        """
        source = None if image is None else image_source(image)
        self._jobs.drop()
        if result is None:
            self._form.warn(None)
        if source is None or card is None or source.job is not None:
            return

        def work(_progress: Progress) -> str | None:
            return out_of_domain(source.open(), card, None if result is None else Segmentation.open(result))

        # Errors of the image are reported where it is segmented.
        self._jobs.begin(work, self._form.warn, lambda _error: None)

    def leave(self) -> None:
        """Compare nothing any more."""
        self._jobs.drop()
