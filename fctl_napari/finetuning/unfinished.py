"""Fine-tuning that was left: runs that were cut, and new networks that wait for the verdict (no torch)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fctl_napari.errors import CheckpointError, ConfigError, OutputError
from fctl_napari.files import write_json
from fctl_napari.finetuning.candidates import candidate_place, request_place, state_place
from fctl_napari.finetuning.gate import Verdict
from fctl_napari.finetuning.request import FinetuneRequest, finetune_request
from fctl_napari.model.model_card import Card, read_card

_WAITS = ".candidate.safetensors"
_REQUEST = ".finetune.json"


@dataclass(frozen=True)
class Waiting:
    """A new network that waits for the verdict, and what its card says.

    Attributes
    ----------
    out
        Where it would stand.
    card
        Its card.
    """

    out: Path
    card: Card

    @property
    def path(self) -> Path:
        """Where it waits."""
        return candidate_place(self.out)

    @property
    def parent(self) -> str:
        """Hash of its parent."""
        return str(self.card.provenance["parent"]["hash"])

    @property
    def verdict(self) -> Verdict:
        """What the gate said."""
        told = self.card.provenance["finetuning"]
        return Verdict(bool(told["keep"]), tuple(told["verdict"]))

    @property
    def figures(self) -> dict[str, Any]:
        """Figures before and after, as ``BeforeAfter.to_json`` gives them."""
        return dict(self.card.figures["finetuning"])


@dataclass(frozen=True)
class Cut:
    """A run that did not come to its end.

    Attributes
    ----------
    request
        What was asked; the same request goes on.
    saved
        Whether there is a saved state to go on from; else it begins anew.
    """

    request: FinetuneRequest
    saved: bool


def remember(request: FinetuneRequest) -> None:
    """Write down what is asked, so that the run can be gone on with when this process is gone.

    Raises
    ------
    OutputError
        The disk is full or the place is not writable.
    """
    write_json(request_place(request.out), request.model_dump(mode="json"))


def open_waiting(out: Path | str) -> Waiting:
    """Open the network that waits beside ``out``.

    Raises
    ------
    CheckpointError
        There is none, or it was not made by fine-tuning.
    """
    waiting = Waiting(Path(out), read_card(candidate_place(out)))
    if not {"parent", "finetuning"} <= waiting.card.provenance.keys() or "finetuning" not in waiting.card.figures:
        raise CheckpointError(f"{waiting.path}: was not made by fine-tuning; choose another.")
    return waiting


def check_waiting(out: Path | str, fingerprint: str) -> None:
    """Refuse a place beside which a network waits that learnt from another image: it would be overwritten.

    Parameters
    ----------
    out : Path or str
        Where the new network is to stand.
    fingerprint : str
        Of the image that it learns from.

    Raises
    ------
    OutputError
        One waits there.
    """
    try:
        image = open_waiting(out).card.provenance["finetuning"].get("image")
    except CheckpointError:
        return
    if image is not None and image["fingerprint"] != fingerprint:
        raise OutputError(
            f"{out}: a network that learnt from another image ({image['name']}) waits beside it, in "
            f"{candidate_place(out)}, and is not decided; choose another name, or delete that file."
        )


def find_waiting(folders: Iterable[Path], fingerprint: str, names: Iterable[str]) -> list[Waiting]:
    """Find the networks that wait in folders and learnt from an image.

    Parameters
    ----------
    folders
        Where to look; not below.
    fingerprint
        Of the image.
    names
        Of the image's file, without folders: cards of earlier versions hold nothing else.
    """
    found, names = [], set(names)
    for path in _files(folders, f"*{_WAITS}"):
        try:
            waiting = open_waiting(path.with_name(f"{path.name.removesuffix(_WAITS)}.safetensors"))
        except CheckpointError:
            continue
        told = waiting.card.provenance["finetuning"]
        if "image" in told:
            its = told["image"]["fingerprint"] == fingerprint
        else:
            its = Path(str(told.get("settings", {}).get("image"))).name in names
        if its and not waiting.out.exists():
            found.append(waiting)
    return found


def find_cut(folders: Iterable[Path], image: str) -> list[Cut]:
    """Find the runs in folders that learn from an image (its file as requests name it) and were cut."""
    found = []
    for path in _files(folders, f".*{_REQUEST}"):
        try:
            request = finetune_request(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError, ConfigError):
            continue  # of another version, or not ours
        out = Path(request.out)
        moved = request_place(out) != path  # its folder was copied or renamed
        if request.image == image and not moved and not out.exists() and not candidate_place(out).exists():
            found.append(Cut(request, state_place(out).is_file()))
    return found


def _files(folders: Iterable[Path], pattern: str) -> list[Path]:
    return [path for folder in dict.fromkeys(folders) for path in sorted(folder.glob(pattern))]
