"""Starting weights of a network: published weights, a checkpoint, and other checkpoints for single contexts."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from fctl_napari.exceptions import CheckpointError, ConfigError
from fctl_napari.imagery.labels.class_names import NameMatch, match_names
from fctl_napari.model.bands import RGB
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.class_axes import class_axes, take_classes
from fctl_napari.model.encoders import load_published_weights
from fctl_napari.model.input_filters import refit_filters
from fctl_napari.model.model_card import Card, builtin_checkpoints, read_card, require_own
from fctl_napari.model.network import Network
from fctl_napari.training.config import TrainConfig

CONTEXT_PARTS = ("encoders", "necks", "lcf.correlations")
"""Modules with arrays of a single context, under the context's name."""


class Start(NamedTuple):
    """Starting point of a network.

    Attributes
    ----------
    sentences : tuple of str
        What was taken from which checkpoint, a sentence each.
    given : set of str
        Names of the network's arrays that did not start at random.
    """

    sentences: tuple[str, ...]
    given: set[str]


def start(model: Network, config: TrainConfig, data_folder: Path, names: Sequence[str] | None = None) -> Start:
    """Initialize a new network as a training config says.

    Checkpoints are built-in names or paths. Paths are relative to ``data_folder``. Warns of encoders that start at
    random though weights are published for them, and of classes and bands that start anew or are left out.

    Parameters
    ----------
    model : Network
        The network, changed in place.
    config : TrainConfig
        The training config.
    data_folder : Path
        Folder that relative paths start from.
    names : sequence of str or None, optional
        Names of the network's classes, see ``start_from``.

    Returns
    -------
    Start
        What was taken from which checkpoint, and which arrays did not start at random.

    Raises
    ------
    CheckpointError
        A file is missing or does not fit.
    ConfigError
        A context that is to start from a checkpoint has no stream of its own.
    """
    published = model.encoder("tile").published
    if published and not (config.encoder_weights or config.init_from):
        warnings.warn(
            f"the encoder starts at random, though weights are published for it; fetch {published} and give it as "
            "encoder_weights, or start from a checkpoint with init_from.",
            stacklevel=2,
        )
    given: set[str] = set()
    said: list[str] = []
    if config.encoder_weights:
        for encoder in model.encoders.values():
            load_published_weights(
                encoder,  # type: ignore[arg-type]
                data_folder / config.encoder_weights,
                model.config.band_names,
            )
        given.update(key for key in model.state_dict() if key.startswith("encoders."))
        said += _note_on_bands(config.encoder_weights, RGB, model.config.band_names)
    if config.init_from:
        sentences, arrays = _start_from(model, _path(config.init_from, data_folder), names)
        said += sentences
        given |= arrays
    for context, path in config.contexts_from.items():
        source = _path(path, data_folder)
        given |= start_context_from(model, context, source)
        said.append(f"{Path(path).name}: the stream of the context {context} starts from it.")
        said += _note_on_bands(source, read_card(source).config.band_names, model.config.band_names)
    return Start(tuple(said), given)


def parent_card(config: TrainConfig, data_folder: Path) -> Card | None:
    """Read the model card of the network that a training starts from.

    Parameters
    ----------
    config : TrainConfig
        The training config.
    data_folder : Path
        Folder that relative paths start from.

    Returns
    -------
    Card or None
        Model card of ``init_from``. None without it.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or carries no card.
    """
    return read_card(_path(config.init_from, data_folder)) if config.init_from else None


def _path(checkpoint: str, data_folder: Path) -> Path:
    return builtin_checkpoints().get(checkpoint, data_folder / checkpoint)


def start_from(model: Network, path: Path | str, names: Sequence[str] | None = None) -> str:
    """Copy the arrays of a checkpoint that have the same name and shape into a network.

    Context streams that the checkpoint has no arrays for start from those of its tile stream. The filters of the
    input's bands are matched by the names of the bands, see ``refit_filters``. Arrays with a row for
    each class are copied row by row, matched by the names of the classes. Warns where the two class tables or the
    bands differ.

    Parameters
    ----------
    model : Network
        The network, changed in place.
    path : Path or str
        The checkpoint.
    names : sequence of str or None, optional
        Names of the network's classes. None takes those of the checkpoint if there are as many, and otherwise names
        that match none of them.

    Returns
    -------
    str
        The classes that were copied and those that start anew, in a sentence. Another on the bands if they differ.

    Raises
    ------
    CheckpointError
        The file is missing or damaged, or the checkpoint has another encoder.
    """
    return " ".join(_start_from(model, path, names)[0])


def _start_from(model: Network, path: Path | str, names: Sequence[str] | None) -> tuple[list[str], set[str]]:
    """Start from a checkpoint, and return sentences on its classes and bands and the names of the arrays it gave."""
    taken, match = _fitting(model, path, names)
    model.load_state_dict(taken, strict=False)
    card = read_card(path)
    if card.pretrained:
        said = f"{Path(path).stem}: was pretrained without classes, so all of them start anew."
    else:
        said = f"{Path(path).stem}: {_describe(match)}."
        if not match.same:
            warnings.warn(said, stacklevel=3)
    return [said, *_note_on_bands(path, card.config.band_names, model.config.band_names)], set(taken)


def start_streams_from(model: Network, path: Path | str) -> None:
    """Copy a checkpoint's encoders and necks as ``start_from`` does, and nothing that depends on classes.

    Parameters
    ----------
    model : Network
        The network, changed in place.
    path : Path or str
        The checkpoint.

    Raises
    ------
    CheckpointError
        The file is missing or damaged, or the checkpoint has another encoder.
    """
    taken = _fitting(model, path, None)[0]
    model.load_state_dict({k: v for k, v in taken.items() if k.startswith(("encoders.", "necks."))}, strict=False)


def start_context_from(model: Network, context: str, path: Path | str) -> set[str]:
    """Copy the stream of one context from a checkpoint: encoder, neck and correlation.

    Parameters
    ----------
    model : Network
        The network, changed in place.
    context : str
        Name of the context.
    path : Path or str
        The checkpoint.

    Returns
    -------
    set of str
        Names of the arrays that were copied.

    Raises
    ------
    CheckpointError
        The file is missing or damaged, or the checkpoint has another encoder.
    ConfigError
        The network has no stream of its own for the context.
    """
    if context not in model.encoders:
        raise ConfigError(
            f"contexts_from: this network has no encoder of its own for the context {context!r}; drop it, or set "
            "share_encoders = 'none'."
        )
    starts = tuple(f"{part}.{context}." for part in CONTEXT_PARTS)
    taken = {key: value for key, value in _fitting(model, path, None)[0].items() if key.startswith(starts)}
    model.load_state_dict(taken, strict=False)
    return set(taken)


def _fitting(model: Network, path: Path | str, names: Sequence[str] | None) -> tuple[dict[str, Tensor], NameMatch]:
    """Find the arrays of a checkpoint that fit a network, by the network's names, and match their classes."""
    source, card = load_checkpoint(path)
    require_own(path, card)
    if card.config.encoder != model.config.encoder:
        raise CheckpointError(
            f"{path}: its encoder is {card.config.encoder}, this network's {model.config.encoder}; start from a "
            "checkpoint with the same encoder."
        )
    theirs = card.classes.names
    if names is None:
        count = model.config.classes
        names = theirs if count == len(theirs) else [f"class {k} of {count}" for k in range(count)]
    match = match_names(names, [f"the band {name}" for name in theirs] if card.pretrained else theirs)
    given = source.state_dict()
    own = model.state_dict()
    rows, other_rows = class_axes(model.config), class_axes(card.config)

    def fitted(key: str, name: str) -> Tensor | None:
        """Return what array ``name`` of the checkpoint gives to array ``key`` of the network, None if it misfits."""
        axes = rows.get(key, ())
        if name in source.input_weights and key in model.input_weights:
            return refit_filters(given[name], card.config.band_names, model.config.band_names)
        if name not in given or other_rows.get(name, ()) != axes or not _alike(own[key], given[name], axes):
            return None
        return take_classes(own[key], given[name], axes, match.index, len(theirs)) if axes else given[name]

    taken = {}
    for key in own:
        part, _, rest = key.partition(".")
        stream, _, name = rest.partition(".")
        value = fitted(key, key)
        if value is None and part in ("encoders", "necks") and stream != "tile":
            value = fitted(key, f"{part}.tile.{name}")
        if value is not None:
            taken[key] = value
    return taken, match


def _alike(own: Tensor, given: Tensor, axes: Sequence[int]) -> bool:
    """Return whether two arrays have the same shape, apart from the axes of classes."""
    if own.ndim != given.ndim:
        return False
    return all(a == b for axis, (a, b) in enumerate(zip(own.shape, given.shape, strict=True)) if axis not in axes)


def _describe(match: NameMatch) -> str:
    """Describe which classes are taken over."""
    if match.same:
        return f"its classes are this network's ({', '.join(match.names)}), and all of them are taken over"
    if not match.matched:
        return (
            f"none of its classes ({', '.join(match.others)}) has the name of one of this network's "
            f"({', '.join(match.names)}), so all of them start anew"
        )
    words = [f"its classes are found by their names; taken over: {', '.join(match.matched)}"]
    words += [f"anew: {', '.join(match.missing)}"] if match.missing else []
    words += [f"left out: {', '.join(match.unused)}"] if match.unused else []
    return "; ".join(words)


def _note_on_bands(path: Path | str, given: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Describe how the filters of the input's bands are taken over, and warn, unless the bands are the same."""
    new, unused = [n for n in wanted if n not in given], [n for n in given if n not in wanted]
    if not new and not unused:
        return []
    words = [f"taken over: {', '.join(n for n in wanted if n in given) or 'none'}"]
    words += [f"anew, with the mean filter: {', '.join(new)}"] if new else []
    words += [f"left out: {', '.join(unused)}"] if unused else []
    said = f"{Path(path).stem}: the filters of its bands are found by their names; {'; '.join(words)}."
    warnings.warn(said, stacklevel=4)
    return [said]
