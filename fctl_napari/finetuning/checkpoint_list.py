"""List of the checkpoints at hand, with what their model cards say (no torch)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fctl_napari.finetuning.lineage import Kin, lineage
from fctl_napari.model.model_card import Card, builtin_checkpoints

Kind = Literal["built in", "trained", "pretrained", "fine-tuned", "light head", "wrapped", "imported"]


@dataclass(frozen=True)
class ListedCheckpoint:
    """A checkpoint of the list.

    Attributes
    ----------
    name : str
        Name of a built-in checkpoint, or of the file without its suffix.
    path : Path
        The file.
    kind : Kind
        Where it came from.
    card : Card
        Its model card.
    """

    name: str
    path: Path
    kind: Kind
    card: Card

    @property
    def pixel_size(self) -> tuple[float, float] | None:
        """Smallest and largest side of the px that it was trained on, m. None if that is not known."""
        return None if self.card.domain is None else self.card.domain.pixel_size

    @property
    def license(self) -> str:
        """License that its card states, empty if it states none."""
        return str(self.card.provenance.get("imported", {}).get("license", ""))

    def to_json(self) -> dict[str, Any]:
        """Return the facts of the list as JSON."""
        where, figures = self.card.headline()
        return {
            "name": self.name,
            "path": str(self.path),
            "kind": self.kind,
            "network": self.card.config.title,
            "classes": [] if self.card.pretrained else list(self.card.classes.names),
            "pixel_size": self.pixel_size,
            "license": self.license,
            "measured_on": where,
            "figures": figures,
        }


def list_checkpoints(folder: Path | str | None = None) -> list[ListedCheckpoint]:
    """List the built-in checkpoints, and those in a folder and below.

    Parameters
    ----------
    folder : Path, str or None, optional
        The folder. None lists the built-in ones alone.

    Returns
    -------
    list of ListedCheckpoint
        The built-in ones by name, then the others by path. Of equal files the first is listed.

    Raises
    ------
    InputError
        There is no such folder, or it holds no checkpoint.
    """
    builtin = {path: name for name, path in builtin_checkpoints().items()}
    families = [kin for name in builtin.values() for kin in lineage(name)]
    if folder is not None:
        families += lineage(folder)
    below = None if folder is None else Path(folder).resolve()
    found: dict[Path, Card] = {}
    for kin in families:
        for member in _members(kin):
            path, card = member.path, member.card
            if path is not None and card is not None and (path in builtin or _within(path, below)):
                found[path] = card
    own = sorted(found, key=lambda path: (path not in builtin, str(path)))
    return [
        ListedCheckpoint(builtin.get(path, path.stem), path, _kind(path in builtin, found[path]), found[path])
        for path in own
    ]


def _within(path: Path, folder: Path | None) -> bool:
    return folder is not None and path.resolve().is_relative_to(folder)


def _members(kin: Kin) -> list[Kin]:
    return [kin, *(member for child in kin.children for member in _members(child))]


def _kind(builtin: bool, card: Card) -> Kind:
    if builtin:
        return "built in"
    if card.config.light:
        return "light head"
    if card.pretrained:
        return "pretrained"
    if "wrapped" in card.provenance:
        return "wrapped"
    if "finetuning" in card.provenance:
        return "fine-tuned"
    return "imported" if "imported" in card.provenance else "trained"
