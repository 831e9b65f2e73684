"""Arrays of a network that have a row for each class, found from the network itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fctl_napari.model.build import make_network
from fctl_napari.model.config import FCtLConfig


def class_axes(config: FCtLConfig) -> dict[str, tuple[int, ...]]:
    """Find the axes of a network's arrays that count the classes.

    The network is laid out twice, without memory: with its number of classes and with another one. Axes whose length
    differs count classes, so a width that happens to be the number of classes is not taken for it.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network.

    Returns
    -------
    dict of str to tuple of int
        Axes by the array's name. Along each of them the last ``config.classes`` entries are the classes.
    """
    other = config.classes - 1 if config.classes > 2 else config.classes + 1
    with torch.device("meta"):
        shapes, others = (
            {name: tuple(value.shape) for name, value in make_network(settings).state_dict().items()}
            for settings in (config, config.model_copy(update={"classes": other}))
        )
    found = {
        name: tuple(axis for axis, size in enumerate(shape) if size != others[name][axis])
        for name, shape in shapes.items()
    }
    return {name: axes for name, axes in found.items() if axes}


def take_classes(own: Tensor, given: Tensor, axes: Sequence[int], index: Sequence[int | None], classes: int) -> Tensor:
    """Copy classes from another network's array into a network's own one.

    Parameters
    ----------
    own, given : Tensor
        The network's own array, and the other network's. They have the same shape apart from the classes.
    axes : sequence of int
        Axes that count classes; see ``class_axes``.
    index : sequence of int or None
        For each class of ``own``, its class in ``given``; None for one that stays as it is.
    classes : int
        Number of classes of ``given``.

    Returns
    -------
    Tensor
        A copy of ``own``. Entries before the classes along an axis are taken from ``given``, too.
    """
    indices = []
    for axis, size in enumerate(own.shape):
        if axis not in axes:
            indices.append((torch.arange(size), torch.arange(size)))
            continue
        first, first_given = size - len(index), given.shape[axis] - classes
        pairs = [(k, k) for k in range(first)]
        pairs += [(first + k, first_given + other) for k, other in enumerate(index) if other is not None]
        indices.append((torch.tensor([a for a, _ in pairs]).long(), torch.tensor([b for _, b in pairs]).long()))
    out = own.clone()
    to = torch.meshgrid(*(a for a, _ in indices), indexing="ij")
    out[to] = given[torch.meshgrid(*(b for _, b in indices), indexing="ij")].to(out.dtype)
    return out
