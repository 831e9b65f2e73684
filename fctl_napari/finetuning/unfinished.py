"""Unfinished fine-tuning: interrupted runs, and candidates that are not decided on (no torch)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fctl_napari.exceptions import CheckpointError, ConfigError, OutputError
from fctl_napari.files import write_json
from fctl_napari.finetuning.candidates import CANDIDATE_SUFFIX, candidate_path, request_path, state_path
from fctl_napari.finetuning.judging.gate import GateResult
from fctl_napari.finetuning.request import FinetuneRequest, finetune_request
from fctl_napari.model.model_card import Card, read_card

_REQUEST = ".finetune.json"


@dataclass(frozen=True)
class Waiting:
    """A candidate that waits to be decided on, with its model card.

    Attributes
    ----------
    out : Path
        Path of the checkpoint that it becomes if it is kept.
    card : Card
        Its model card.
    """

    out: Path
    card: Card

    @property
    def path(self) -> Path:
        """Path of the candidate."""
        return candidate_path(self.out)

    @property
    def parent(self) -> str:
        """SHA-256 of the candidate's parent."""
        return str(self.card.provenance["parent"]["hash"])

    @property
    def gate_result(self) -> GateResult:
        """Decision of the gate."""
        record = self.card.provenance["finetuning"]
        return GateResult(bool(record["keep"]), tuple(record["verdict"]))

    @property
    def figures(self) -> dict[str, Any]:
        """Figures before and after, as ``BeforeAfter.to_json`` returns them."""
        return dict(self.card.figures["finetuning"])


@dataclass(frozen=True)
class Cut:
    """A run that was interrupted.

    Attributes
    ----------
    request : FinetuneRequest
        Request of the run, with which it resumes.
    saved : bool
        True if there is a saved state to resume from. Otherwise the run starts anew.
    """

    request: FinetuneRequest
    saved: bool


def remember(request: FinetuneRequest) -> None:
    """Write a request to disk, so that the run can be resumed when this process is gone.

    Parameters
    ----------
    request : FinetuneRequest
        Request of the run.

    Raises
    ------
    OutputError
        The disk is full or the folder is not writable.
    """
    write_json(request_path(request.out), request.model_dump(mode="json"))


def forget(out: Path | str) -> None:
    """Remove the request of a run that failed, unless there is a saved state to resume from.

    Parameters
    ----------
    out : Path or str
        Path of the new checkpoint.
    """
    if not state_path(out).exists():
        request_path(out).unlink(missing_ok=True)


def open_waiting(out: Path | str) -> Waiting:
    """Open the candidate that waits beside ``out``.

    Parameters
    ----------
    out : Path or str
        Path of the checkpoint that it becomes if it is kept.

    Returns
    -------
    Waiting
        The candidate.

    Raises
    ------
    CheckpointError
        There is none, or it was not made by fine-tuning.
    """
    waiting = Waiting(Path(out), read_card(candidate_path(out)))
    if not {"parent", "finetuning"} <= waiting.card.provenance.keys() or "finetuning" not in waiting.card.figures:
        raise CheckpointError(f"{waiting.path}: was not made by fine-tuning; choose another.")
    return waiting


def check_waiting(out: Path | str, *fingerprints: str) -> None:
    """Refuse a path beside which a candidate waits that was trained on another image and would be overwritten.

    Parameters
    ----------
    out : Path or str
        Path of the new checkpoint.
    *fingerprints : str
        Fingerprints of the images that it is trained on.

    Raises
    ------
    OutputError
        Such a candidate waits there.
    """
    try:
        images = open_waiting(out).card.learned_images
    except CheckpointError:
        return
    image = next((image for image in images if image["fingerprint"] not in fingerprints), None)
    if image is not None:
        raise OutputError(
            f"{out}: a network that learned from another image ({image['name']}) waits beside it, in "
            f"{candidate_path(out)}, and is not decided; choose another name, or delete that file."
        )


def find_waiting(folders: Iterable[Path], fingerprint: str, names: Iterable[str]) -> list[Waiting]:
    """Find the candidates in folders that were trained on an image.

    Parameters
    ----------
    folders : iterable of Path
        Folders to search, without their subfolders.
    fingerprint : str
        Fingerprint of the image.
    names : iterable of str
        File names of the image, without folders. Model cards of earlier versions hold nothing else.

    Returns
    -------
    list of Waiting
        Candidates whose checkpoint does not exist yet.
    """
    found, names = [], set(names)
    for path in _files(folders, f"*{CANDIDATE_SUFFIX}"):
        try:
            waiting = open_waiting(path.with_name(f"{path.name.removesuffix(CANDIDATE_SUFFIX)}.safetensors"))
        except CheckpointError:
            continue
        record = waiting.card.provenance["finetuning"]
        if "image" in record:
            its = any(image["fingerprint"] == fingerprint for image in waiting.card.learned_images)
        else:
            its = Path(str(record.get("settings", {}).get("image"))).name in names
        if its and not waiting.out.exists():
            found.append(waiting)
    return found


def find_cut(folders: Iterable[Path], image: str) -> list[Cut]:
    """Find the interrupted runs in folders that train on an image.

    Parameters
    ----------
    folders : iterable of Path
        Folders to search, without their subfolders.
    image : str
        The image's file, as requests name it.

    Returns
    -------
    list of Cut
        The runs. Those whose folder was copied or renamed are left out.
    """
    found = []
    for path in _files(folders, f".*{_REQUEST}"):
        try:
            request = finetune_request(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError, ConfigError):
            continue  # the file is of another version, or not of this package
        out = Path(request.out)
        moved = request_path(out) != path  # the folder was copied or renamed
        its = any(image == one for one, _ in request.pairs)
        if its and not moved and not out.exists() and not candidate_path(out).exists():
            found.append(Cut(request, state_path(out).is_file()))
    return found


def _files(folders: Iterable[Path], pattern: str) -> list[Path]:
    return [path for folder in dict.fromkeys(folders) for path in sorted(folder.glob(pattern))]
