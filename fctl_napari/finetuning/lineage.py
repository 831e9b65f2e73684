"""Which checkpoint came from which (no torch)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fctl_napari.errors import CheckpointError, InputError
from fctl_napari.finetuning.gate import BeforeAfter
from fctl_napari.model.model_card import Card, builtin_checkpoints, checkpoint_hash, read_card


@dataclass(frozen=True)
class Kin:
    """A checkpoint in its family.

    Attributes
    ----------
    hash
        Its identity.
    name
        Of its card; where the file is gone, as its children remember it.
    path
        The file; None where it is gone.
    card
        Its card; None where it is gone.
    children
        The checkpoints that were fine-tuned from it.
    """

    hash: str
    name: str
    path: Path | None
    card: Card | None
    children: tuple[Kin, ...]

    def story(self) -> str:
        """What its fine-tuning changed, in a line; empty for one that was trained from scratch."""
        figures = self.card.figures.get("finetuning") if self.card is not None else None
        return BeforeAfter.line(figures) if figures else ""

    def holds(self, wanted: str) -> bool:
        """Whether a hash is this one's or a descendant's."""
        return self.hash == wanted or any(child.holds(wanted) for child in self.children)


def lineage(place: Path | str) -> list[Kin]:
    """Read the families of checkpoints.

    Parameters
    ----------
    place
        A folder: every family that has a member in it or below. A checkpoint, or a built-in one's name: its family, as
        far as its members lie in its folder or are built in.

    Returns
    -------
    list of Kin
        The eldest of each family, by name.

    Raises
    ------
    InputError
        There is nothing, or the folder holds no checkpoint.
    CheckpointError
        The file is no checkpoint of ours.
    """
    builtin = builtin_checkpoints()
    path = builtin.get(str(place), Path(place))
    if path.is_dir():
        found = _cards(_files_below(path))
        if not found:
            raise InputError(f"{path}: there is no checkpoint in this folder; give another, or a file.")
        wanted = list(found)
    elif path.is_file():
        read_card(path)
        wanted = [checkpoint_hash(path)]
        found = _cards([path, *sorted(path.parent.glob("*.safetensors"))])
    else:
        raise InputError(f"{path}: there is no such folder or checkpoint; check the path.")
    families = _families(_cards(builtin.values()) | found)
    return [eldest for eldest in families if any(eldest.holds(one) for one in wanted)]


def _files_below(folder: Path) -> list[Path]:
    """Find the checkpoints in a folder and below; arrays on disk, of up to millions of files, are passed over."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.endswith(".zarr"))
        found += [Path(place) / name for name in sorted(files) if name.endswith(".safetensors")]
    return found


def _cards(paths: Iterable[Path]) -> dict[str, tuple[Path, Card]]:
    """Cards by hash; what is no checkpoint of ours is passed over, and of equal files the first is taken."""
    found: dict[str, tuple[Path, Card]] = {}
    for path in paths:
        try:
            found.setdefault(checkpoint_hash(path), (path, read_card(path)))
        except CheckpointError:
            continue
    return found


def _families(found: dict[str, tuple[Path, Card]]) -> list[Kin]:
    children: dict[str, list[str]] = {}
    names = {one: card.name for one, (_, card) in found.items()}
    for one, (_, card) in found.items():
        parent = card.provenance.get("parent")
        if parent:
            children.setdefault(parent["hash"], []).append(one)
            names.setdefault(parent["hash"], parent["name"])

    born = {child for group in children.values() for child in group}
    eldest = sorted((one for one in names if one not in born), key=lambda one: names[one])
    return [_kin(one, found, children, names) for one in eldest]


def _kin(one: str, found: dict[str, tuple[Path, Card]], children: dict[str, list[str]], names: dict[str, str]) -> Kin:
    path, card = found.get(one, (None, None))
    offspring = sorted(children.get(one, []), key=lambda child: names[child])
    return Kin(one, names[one], path, card, tuple(_kin(child, found, children, names) for child in offspring))
