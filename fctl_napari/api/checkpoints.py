"""Checkpoint as notebooks and scripts know it."""

from __future__ import annotations

from pathlib import Path

from fctl_napari.api import html
from fctl_napari.api.checked import checked
from fctl_napari.evaluation.domain import domain_facts
from fctl_napari.model.classes import ClassTable
from fctl_napari.model.model_card import Card, checkpoint_hash, read_card, resolve_checkpoint


class Checkpoint:
    """A trained network on disk: its model card, without its weights in memory.

    ``fctl.load_checkpoint``, ``fctl.train`` and ``fctl.finetune`` make it.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    path : Path
        The file.
    card : Card
        Its model card: settings, classes, what it was trained on, figures.

    Raises
    ------
    CheckpointError
        The file is not a checkpoint of this package.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.card: Card = read_card(path)

    @property
    def name(self) -> str:
        """Name of the network."""
        return self.card.name

    @property
    def classes(self) -> ClassTable:
        """Classes that it predicts."""
        return self.card.classes

    @property
    def hash(self) -> str:
        """SHA-256 of the file, by which results know it."""
        return checkpoint_hash(self.path)

    def __fspath__(self) -> str:
        """Return the path of the file."""
        return str(self.path)

    def _facts(self) -> dict[str, str]:
        """Return what the card says, by name."""
        config = self.card.config
        contexts = ", ".join(context.name for context in config.contexts) or "none"
        where, figures = self.card.headline()
        words = ", ".join(f"{key} {value:.4f}" for key, value in figures.items())
        return {
            **({"about": self.card.description} if self.card.description else {}),
            "network": f"{config.title}, tile {config.tile_size} px, contexts: {contexts}",
            **domain_facts(self.card),
            **({where or "figures": words} if words else {}),
            "file": str(self.path),
        }

    def __repr__(self) -> str:
        """Return name, classes and file in a line."""
        classes = "no classes yet" if self.card.pretrained else ", ".join(self.classes.names)
        return f"<Checkpoint {self.name}: {classes}; {self.path}>"

    def _repr_html_(self) -> str:
        """Return the card for a notebook."""
        shown = () if self.card.pretrained else self.classes.scored
        return html.block(self.name, html.facts(self._facts()), html.legend((info, "") for info in shown))


CheckpointLike = Checkpoint | Path | str
"""A checkpoint, the name of a built-in one, or a file."""


@checked
def load_checkpoint(name: CheckpointLike) -> Checkpoint:
    """Open a checkpoint: its card is read, its weights are not.

    Parameters
    ----------
    name : str or Path
        Name of a built-in checkpoint, or a file.

    Returns
    -------
    Checkpoint
        The checkpoint.

    Raises
    ------
    CheckpointError
        There is no such checkpoint, or the file is none of this package.

    Examples
    --------
    >>> import fctl_napari as fctl
    >>> fctl.load_checkpoint("earth").classes.names
    ('water', 'forest', 'rangeland', 'agriculture', 'barren')
    """
    return name if isinstance(name, Checkpoint) else Checkpoint(resolve_checkpoint(name))
