"""Classes of corrections: those of the segmentation or checkpoint that is chosen, beside those that are painted."""

from __future__ import annotations

from collections.abc import Mapping

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.model.classes import ClassTable
from fctl_napari.plugin.correct.brush import class_names
from fctl_napari.plugin.correct.form import CorrectForm
from fctl_napari.plugin.correct.open import chosen_classes
from fctl_napari.plugin.correct.session import Painting
from fctl_napari.plugin.layers.mask_combo import MaskChoices
from fctl_napari.progress import Progress
from fctl_napari.windows import IntWindow


class ClassChoice:
    """The classes to paint: those of a segmentation, or else those of a checkpoint.

    Parameters
    ----------
    form : CorrectForm
        Form with the choice of the checkpoint.
    masks : MaskChoices
        Choice of the segmentation.
    """

    def __init__(self, form: CorrectForm, masks: MaskChoices) -> None:
        self._form, self._masks = form, masks

    def names(self) -> tuple[str, ...]:
        """Return the names of the classes that are chosen.

        Returns
        -------
        tuple of str
            The names. Empty if they are not known.
        """
        if self._masks.mask is not None:
            return class_names(self._masks.mask)
        card = self._form.checkpoint.card()
        return () if card is None else card.classes.names

    def missing(self, painting: Painting) -> list[str]:
        """Return the classes that are chosen and that corrections lack.

        Parameters
        ----------
        painting : Painting
            The open corrections.

        Returns
        -------
        list of str
            Names of the classes. Empty if the classes are the user's own.
        """
        if painting.corrections.own_classes:
            return []
        return [name for name in self.names() if name not in painting.table.names]

    def describe(self, painting: Painting, areas: Mapping[str, int]) -> str:
        """Describe the classes that are chosen and cannot be painted, and those that are painted and not chosen.

        Parameters
        ----------
        painting : Painting
            The open corrections.
        areas : mapping of str to int
            Painted px, by class.

        Returns
        -------
        str
            Sentences for people. Empty if all is plain.
        """
        chosen, missing = self.names(), self.missing(painting)
        corrected = [name for name in corrected_classes(areas) if name != "not sure"]
        others = [name for name in corrected if name not in chosen]
        words = []
        if painting.corrections.own_classes and len(corrected) < 2:
            return "These are your own classes: paint at least two of them."
        if missing:
            words.append(f"These corrections lack {', '.join(missing)}: press Edit here to paint it, too.")
        if chosen and others:
            where = "segmentation" if self._masks.mask is not None else "checkpoint"
            words.append(
                f"Painted, but no class of the {where}: {', '.join(others)}; it is kept, and not learned from."
            )
        return " ".join(words)

    def for_new(self) -> tuple[ClassTable | None, str | None]:
        """Return the classes of new corrections.

        Returns
        -------
        table : ClassTable or None
            Classes of the checkpoint. None if a segmentation has them, or they are not known.
        store : str or None
            Location of the segmentation that has them.
        """
        card = None if self._masks.store is not None else self._form.checkpoint.card()
        return (None if card is None else card.classes), self._masks.store

    def add_to(self, painting: Painting) -> None:
        """Add the classes that are chosen to corrections.

        Parameters
        ----------
        painting : Painting
            The open corrections.
        """
        classes = self.for_new()

        def work(into: Corrections, _progress: Progress) -> tuple[IntWindow | None, None]:
            table = chosen_classes(*classes)
            if table is not None:
                into.add_classes(table)
            return None, None

        painting.act(work)


def corrected_classes(areas: Mapping[str, int]) -> list[str]:
    """Return the classes of which something is painted.

    Parameters
    ----------
    areas : mapping of str to int
        Painted px, by class.

    Returns
    -------
    list of str
        Names of the classes.
    """
    return [name for name, pixels in areas.items() if pixels]
