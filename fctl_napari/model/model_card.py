"""Model cards of checkpoints, readable without torch: settings, classes, provenance, figures."""

from __future__ import annotations

import hashlib
import json
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from fctl_napari.exceptions import CheckpointError, fault_of
from fctl_napari.files import atomic_write
from fctl_napari.model.classes import ClassTable
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.domain import Domain
from fctl_napari.words import count_of

METADATA_KEY = "fctl"
BUILTIN_FOLDER = Path(__file__).parent.parent / "checkpoints"
BUILTIN_DOMAINS = BUILTIN_FOLDER / "domains.json"
"""Facts of training data that the built-in checkpoints' own cards lack, as their files must not change."""

_HEADER_LIMIT = 100_000_000
HEADLINE = {"miou": "mIoU", "f1": "F1", "accuracy": "accuracy", "context_reliance": "context reliance"}
"""Figures that fit in a line: names for people by their keys in a model card."""


TABLES = ("data", "finetuning", "founder", "head", "imported", "parent", "training")
"""Entries of a card's provenance that hold entries themselves."""


class Card(BaseModel):
    """Model card of a checkpoint.

    Attributes
    ----------
    name, description : str
        Name and description for people.
    config : FCtLConfig
        Settings of the network.
    classes : ClassTable
        Class table; its scored classes are the network's outputs, in order.
    provenance : dict of str to object
        Training data, settings, seed, parent, code version.
    figures : dict of str to object
        Scores measured on stated data: IoU by class, mIoU, F1, accuracy, context reliance.
    domain : Domain or None
        Facts of the data that it was trained on. None in cards of versions that did not measure them.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    description: str = ""
    config: FCtLConfig
    classes: ClassTable
    provenance: dict[str, Any] = {}
    figures: dict[str, Any] = {}
    domain: Domain | None = None

    @model_validator(mode="after")
    def _check(self) -> Card:
        if len(self.classes.scored) != self.config.classes:
            raise ValueError(
                f"the class table has {count_of(len(self.classes.scored), 'scored class')}, the network "
                f"{self.config.classes}"
            )
        for name in TABLES:
            if not isinstance(self.provenance.get(name) or {}, dict):
                raise ValueError(f"provenance: {name} is no table")
        return self

    @property
    def pretrained(self) -> bool:
        """True for a network that fills in hidden px and has learned no classes yet."""
        return bool(self.provenance.get("training", {}).get("data", {}).get("images"))

    def headline(self) -> tuple[str, dict[str, float]]:
        """Select the figures that fit in a line, and the data that they were measured on.

        These are the card's own figures if it states their data, else those of the test part, or of the validation
        part.

        Returns
        -------
        where : str
            Data that the figures were measured on; ``""`` if nothing was measured.
        figures : dict of str to float
            Figures by their names for people; empty if nothing was measured.
        """
        parts = [(str(self.figures.get("measured_on", "")), self.figures)]
        parts += [
            (words, self.figures.get(key, {})) for key, words in (("test", "test part"), ("val", "validation part"))
        ]
        foreground = self.classes.foreground
        for where, figures in parts:
            found = {name: figures.get(key) for key, name in HEADLINE.items()}
            if found["mIoU"] is not None:
                without = None if foreground is not None else self._without_background(figures)
                if without is not None:
                    name, value = without
                    found = {"mIoU": found["mIoU"], name: value, **found}
                if foreground is not None:  # what papers call mIoU where one class is beside a background
                    found = {f"IoU of {self.classes.names[foreground]}": self._first(figures), **found}
                if "released" in figures:
                    found[f"{next(iter(found))} with merge released"] = self._first(figures["released"])
                return where, {name: float(value) for name, value in found.items() if value is not None}
        return "", {}

    def _without_background(self, figures: dict[str, Any]) -> tuple[str, float] | None:
        """Return the mean IoU of the classes beside a background, with its name. None without one."""
        background = self.classes.background
        if background is None:
            return None
        name = self.classes.names[background]
        others = [value for key, value in figures.get("iou", {}).items() if key != name and value is not None]
        return (f"mIoU without {name}", sum(others) / len(others)) if others else None

    def _first(self, figures: dict[str, Any]) -> float | None:
        """Return the headline figure of a set of figures."""
        foreground = self.classes.foreground
        iou = figures.get("iou", {})
        chosen = figures.get("miou") if foreground is None else iou.get(self.classes.names[foreground])
        return None if chosen is None else float(chosen)

    @property
    def learned_images(self) -> list[dict[str, str]]:
        """Images of whose corrections it learned, each with ``name`` and ``fingerprint``, as far as the card says."""
        record = self.provenance.get("finetuning", {})
        return [record["image"], *record.get("further_images", ())] if "image" in record else []


def without_folders(settings: Any) -> Any:
    """Reduce absolute paths among settings to file names, as a card travels and folders do not.

    Parameters
    ----------
    settings : object
        Settings, nested in dicts and lists.

    Returns
    -------
    object
        The settings with file names.
    """
    if isinstance(settings, dict):
        return {without_folders(key): without_folders(value) for key, value in settings.items()}
    if isinstance(settings, list):
        return [without_folders(value) for value in settings]
    return Path(settings).name if isinstance(settings, str) and Path(settings).is_absolute() else settings


def read_header(path: Path | str) -> dict[str, Any]:
    """Read the JSON header of a safetensors file.

    Parameters
    ----------
    path : Path or str
        The file.

    Returns
    -------
    dict of str to object
        Entries of the arrays by name, and ``__metadata__``.

    Raises
    ------
    CheckpointError
        The file is missing, cut short, or no safetensors file.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _HEADER_LIMIT:
                raise ValueError("header too long")
            header = json.loads(file.read(length))
        size = 8 + length + max((v["data_offsets"][1] for k, v in header.items() if k != "__metadata__"), default=0)
        if path.stat().st_size < size:
            raise CheckpointError(f"{path}: this checkpoint is cut short; copy or download it again.")
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such checkpoint; check the path.") from None
    except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: is not a checkpoint of ours (a safetensors file with a model card).") from error
    assert isinstance(header, dict)
    return header


def read_card(path: Path | str) -> Card:
    """Read a checkpoint's model card without loading its weights.

    Parameters
    ----------
    path : Path or str
        The checkpoint.

    Returns
    -------
    Card
        The model card. Facts of the training data that a built-in checkpoint's lacks are those of the package.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or carries no card.
    """
    metadata = read_header(path).get("__metadata__", {})
    if METADATA_KEY not in metadata:
        raise CheckpointError(f"{path}: these are weights without a model card; make a checkpoint with `fctl train`.")
    try:
        card = Card.model_validate_json(metadata[METADATA_KEY])
        domain = None if card.domain is not None else builtin_domains().get(card_digest(metadata[METADATA_KEY]))
        return card if domain is None else card.model_copy(update={"domain": domain})
    except ValidationError as error:
        raise CheckpointError(
            f"{path}: its model card does not fit this version ({fault_of(error)}); update this package, or choose "
            "another checkpoint."
        ) from error


def copy_renamed(path: Path | str, out: Path | str, name: str) -> None:
    """Copy a checkpoint atomically, under another name in its model card.

    Parameters
    ----------
    path : Path or str
        The checkpoint.
    out : Path or str
        File to write.
    name : str
        The name.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or carries no card.
    OutputError
        The disk is full or the folder is not writable.
    """
    read_card(path)
    whole = Path(path).read_bytes()  # at once: the file may be replaced at any time
    end = 8 + int(struct.unpack("<Q", whole[:8])[0])
    header = json.loads(whole[8:end])
    card = json.loads(header["__metadata__"][METADATA_KEY])
    header["__metadata__"][METADATA_KEY] = json.dumps({**card, "name": name}, separators=(",", ":"))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the arrays stay aligned
    with atomic_write(Path(out)) as file:
        file.write(struct.pack("<Q", len(text)) + text + whole[end:])


def card_digest(text: str) -> str:
    """Compute the SHA-256 of a model card as it is stored.

    Parameters
    ----------
    text : str
        The card (JSON).

    Returns
    -------
    str
        SHA-256, hex.
    """
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=1)
def builtin_domains() -> dict[str, Domain]:
    """Read the facts of the built-in checkpoints' training data.

    Returns
    -------
    dict of str to Domain
        Facts by the SHA-256 of the checkpoints' cards, see :func:`card_digest`.
    """
    if not BUILTIN_DOMAINS.is_file():
        return {}
    stored = json.loads(BUILTIN_DOMAINS.read_text("utf-8"))
    return {digest: Domain.model_validate(domain) for digest, domain in stored.items()}


def checkpoint_hash(path: Path | str) -> str:
    """Compute the SHA-256 of a checkpoint's file, which is its identity.

    Parameters
    ----------
    path : Path or str
        The checkpoint.

    Returns
    -------
    str
        SHA-256, hex.

    Raises
    ------
    CheckpointError
        The file is missing.
    """
    path = Path(path)
    try:
        status = path.stat()
        return _hash(path, status.st_ino, status.st_size, status.st_mtime_ns)
    except OSError:
        raise CheckpointError(f"{path}: there is no such checkpoint; check the path.") from None


@lru_cache(maxsize=64)
def _hash(path: Path, inode: int, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def builtin_checkpoints() -> dict[str, Path]:
    """List the checkpoints that come with the package.

    Returns
    -------
    dict of str to Path
        Paths by name.
    """
    return {path.stem: path for path in sorted(BUILTIN_FOLDER.glob("*.safetensors"))}


def require_classes(path: Path | str, card: Card) -> None:
    """Refuse a network that has learned no classes yet.

    Parameters
    ----------
    path : Path or str
        The checkpoint.
    card : Card
        Its model card.

    Raises
    ------
    CheckpointError
        It was pretrained on images without ground truth.
    """
    if card.pretrained:
        raise CheckpointError(
            f"{path}: was pretrained on images without ground truth and has no classes yet; train a network that "
            "starts from it (init_from)."
        )


def require_own(path: Path | str, card: Card) -> None:
    """Refuse a network that came as an ONNX file, where its weights are needed.

    Parameters
    ----------
    path : Path or str
        The checkpoint.
    card : Card
        Its model card.

    Raises
    ------
    CheckpointError
        Its graph is run as it is.
    """
    if card.config.onnx is not None:
        raise CheckpointError(
            f"{path}: came as an ONNX file, which is run as it is: it cannot learn, and its weights go nowhere else; "
            "choose another checkpoint."
        )


def resolve_checkpoint(name: str | Path) -> Path:
    """Find a built-in checkpoint by its name, or a file by its path.

    Parameters
    ----------
    name : str or Path
        Name of a built-in checkpoint, or path.

    Returns
    -------
    Path
        Path of the checkpoint.

    Raises
    ------
    CheckpointError
        There is neither.
    """
    builtin = builtin_checkpoints()
    if str(name) in builtin:
        return builtin[str(name)]
    if Path(name).is_file():
        return Path(name)
    known = ", ".join(builtin) or "none"
    raise CheckpointError(f"{name}: there is no such checkpoint; give a file or a built-in name ({known}).")
