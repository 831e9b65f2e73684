"""Families of checkpoints by fine-tuning (no torch)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fctl_napari.exceptions import CheckpointError, InputError
from fctl_napari.finetuning.candidates import CANDIDATE_SUFFIX
from fctl_napari.finetuning.judging.gate import BeforeAfter
from fctl_napari.model.model_card import Card, builtin_checkpoints, checkpoint_hash, read_card

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Kin:
    """A checkpoint in its family.

    Attributes
    ----------
    hash : str
        SHA-256 of the checkpoint.
    name : str
        Name of its file. If the file is gone, the name that its children's cards give.
    path : Path or None
        The file, or None if it is gone.
    card : Card or None
        Its model card, or None if the file is gone.
    children : tuple of Kin
        Checkpoints that were fine-tuned from it.
    """

    hash: str
    name: str
    path: Path | None
    card: Card | None
    children: tuple[Kin, ...]

    @property
    def waits(self) -> bool:
        """True if it is a candidate that nobody has decided on."""
        return self.path is not None and self.path.name.endswith(CANDIDATE_SUFFIX)

    @property
    def against_gate(self) -> bool:
        """True if it is kept although the gate advised to roll it back."""
        record = self.card.provenance.get("finetuning", {}) if self.card is not None else {}
        return not self.waits and not record.get("keep", True)

    def story(self) -> str:
        """Describe in a line what its fine-tuning changed, on which images if these are several, and the gate's advice.

        Returns
        -------
        str
            The line, that of a wrapped network naming its contexts. Empty for one that was trained from scratch.
        """
        if self.card is not None and "wrapped" in self.card.provenance:
            contexts = ", ".join(context.words for context in self.card.config.contexts)
            return f"wrapped into FCtL with the contexts {contexts}"
        figures = self.card.figures.get("finetuning") if self.card is not None else None
        if self.card is None or not figures:
            return ""
        images = [image["name"] for image in self.card.learned_images]
        parts = [
            BeforeAfter.line(figures),
            f"learned from {', '.join(images)}" if len(images) > 1 else "",
            "kept against the gate" if self.against_gate else "",
        ]
        return "; ".join(part for part in parts if part)

    def holds(self, wanted: str) -> bool:
        """Return whether a hash is that of this checkpoint or of a descendant.

        Parameters
        ----------
        wanted : str
            SHA-256 of a checkpoint.

        Returns
        -------
        bool
            True if it is in this branch of the family.
        """
        return self.hash == wanted or any(child.holds(wanted) for child in self.children)


def lineage(location: Path | str) -> list[Kin]:
    """Read the families of checkpoints.

    Parameters
    ----------
    location : Path or str
        A folder, for every family that has a member in it or below. Otherwise a checkpoint or a built-in one's name,
        for its family as far as the members lie in its folder or are built in.

    Returns
    -------
    list of Kin
        The oldest ancestor of each family, by name.

    Raises
    ------
    InputError
        There is no such file or folder, or the folder holds no checkpoint.
    CheckpointError
        The file is not a checkpoint of this package.
    """
    builtin = builtin_checkpoints()
    path = builtin.get(str(location), Path(location))
    if path.is_dir():
        found = _cards(_files_below(path))
        if not found:
            raise InputError(f"{path}: there is no checkpoint in this folder; give another, or a file.")
        wanted = list(found)
    elif path.is_file():
        read_card(path)
        wanted = [checkpoint_hash(path)]
        found = _cards([path, *sorted(path.parent.glob(f"*{SUFFIX}"))])
    else:
        raise InputError(f"{path}: there is no such folder or checkpoint; check the path.")
    families = _families(_cards(builtin.values()) | found)
    return [eldest for eldest in families if any(eldest.holds(one) for one in wanted)]


def _files_below(folder: Path) -> list[Path]:
    """Find the checkpoints in a folder and below, skipping Zarr arrays, which have up to millions of files."""
    found = []
    for location, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.endswith(".zarr"))
        found += [Path(location) / name for name in sorted(files) if name.endswith(SUFFIX)]
    return found


def _cards(paths: Iterable[Path]) -> dict[str, tuple[Path, Card]]:
    """Read the model cards by hash, skipping other files and taking the first of equal ones."""
    found: dict[str, tuple[Path, Card]] = {}
    for path in paths:
        try:
            found.setdefault(checkpoint_hash(path), (path, read_card(path)))
        except CheckpointError:
            continue
    return found


def _families(found: dict[str, tuple[Path, Card]]) -> list[Kin]:
    """Build the family trees of checkpoints."""
    children: dict[str, list[str]] = {}
    names = {one: path.name.removesuffix(CANDIDATE_SUFFIX).removesuffix(SUFFIX) for one, (path, _) in found.items()}
    for one, (_, card) in found.items():
        parent = card.provenance.get("parent") or {}
        if {"name", "hash"} <= parent.keys():
            children.setdefault(parent["hash"], []).append(one)
            names.setdefault(parent["hash"], parent["name"])

    born = {child for group in children.values() for child in group}
    eldest = sorted((one for one in names if one not in born), key=lambda one: names[one])
    return [_kin(one, found, children, names) for one in eldest]


def _kin(one: str, found: dict[str, tuple[Path, Card]], children: dict[str, list[str]], names: dict[str, str]) -> Kin:
    """Build the family tree below one checkpoint."""
    path, card = found.get(one, (None, None))
    offspring = sorted(children.get(one, []), key=lambda child: names[child])
    return Kin(one, names[one], path, card, tuple(_kin(child, found, children, names) for child in offspring))
