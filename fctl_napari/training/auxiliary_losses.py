"""Losses on features inside of a network that is trained, as its paper has them, by heads that are then left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn import functional as F

from fctl_napari.model.baselines.base import ConvNorm, resize
from fctl_napari.model.network import Network

Criterion = Callable[[Tensor], Tensor]
"""Loss of scores [B, classes, T, T] of the tiles."""


class AuxiliaryLosses(nn.Module):
    """Heads that score what goes into some modules of a network, each with the weight of its loss.

    Parameters
    ----------
    model : Network
        The network. It stays as it is.
    heads : dict of str to (nn.Module, float)
        By the name of a module of the network, the head that scores its first input, and the weight of that loss.
    """

    def __init__(self, model: Network, heads: dict[str, tuple[nn.Module, float]]) -> None:
        super().__init__()
        self.tile_size = model.config.tile_size
        self.weights = [weight for _, weight in heads.values()]
        self.heads = nn.ModuleList(head for head, _ in heads.values())
        self._names = list(heads)

    @contextmanager
    def watched(self, model: Network) -> Iterator[list[Tensor]]:
        """Collect the features that are scored while the network runs once.

        Parameters
        ----------
        model : Network
            The network.

        Yields
        ------
        list of Tensor
            Features [B, C, h, w] in the order of the heads, complete after the run.
        """
        found: list[Tensor] = []
        hooks = [
            model.get_submodule(name).register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
            for name in self._names
        ]
        try:
            yield found
        finally:
            for hook in hooks:
                hook.remove()

    def forward(self, features: Sequence[Tensor], rows: Tensor | None, criterion: Criterion) -> Tensor:
        """Compute the weighted sum of the losses.

        Parameters
        ----------
        features : sequence of Tensor
            From ``watched``, [B, C, h, w].
        rows : Tensor of int or None
            Row of the features that each tile takes; None where the rows are the tiles.
        criterion : callable
            Loss of scores of the tiles.

        Returns
        -------
        Tensor of float []
            The sum.
        """
        total = features[0].new_zeros(())
        for head, weight, x in zip(self.heads, self.weights, features, strict=True):
            scores = head(x) if rows is None else head(x)[rows]
            total = total + weight * criterion(resize(scores, self.tile_size))
        return total


class GlobalLocalLosses(AuxiliaryLosses):
    """Losses of GLNet's two branches by themselves, and the distance between their features.

    Parameters
    ----------
    model : Network
        GLNet.
    channels : int
        Channels of the features of one branch.
    distance : float
        Weight of the mean squared distance.
    """

    def __init__(self, model: Network, channels: int, distance: float) -> None:
        own = nn.ModuleList(nn.Conv2d(channels, model.config.classes, 3, padding=1) for _ in range(2))
        name = "decoder.smooth" if model.config.sharing == "last" else "decoder.score"
        super().__init__(model, {name: (own, 1.0)})
        self.distance = distance

    def forward(self, features: Sequence[Tensor], rows: Tensor | None, criterion: Criterion) -> Tensor:
        """Add up the two losses and the weighted distance.

        Parameters
        ----------
        features : sequence of Tensor
            From ``watched``: features of the tile and of the image around it, stacked, [B, 2 * C, h, w].
        rows : Tensor of int or None
            Unused, as the rows are the tiles.
        criterion : callable
            Loss of scores of the tiles.

        Returns
        -------
        Tensor of float []
            The sum.
        """
        tile, image = features[0].chunk(2, dim=1)
        total = self.distance * F.mse_loss(tile.float(), image.float())
        (heads,) = self.heads
        for head, x in zip(heads.children(), (tile, image), strict=True):
            total = total + criterion(resize(head(x), self.tile_size))
        return total


def auxiliary_losses(model: Network) -> AuxiliaryLosses | None:
    """Build the auxiliary losses of a network's paper.

    Parameters
    ----------
    model : Network
        The network.

    Returns
    -------
    AuxiliaryLosses or None
        Its losses, with heads of random weights. PSPNet: 0.4 times that of stage 4. ICNet: 0.16 and 0.4 times those of
        its two coarser branches. GLNet: those of its branches, and 0.15 times their features' distance. Other networks
        have none.
    """
    classes = model.config.classes
    match model.config.architecture:
        case "pspnet":
            head = nn.Sequential(ConvNorm(1024, 256, 3), nn.Dropout2d(0.1), nn.Conv2d(256, classes, 1))
            return AuxiliaryLosses(model, {"encoders.tile.layer4.0": (head, 0.4)})
        case "icnet":
            coarse, middle = nn.Conv2d(256, classes, 1), nn.Conv2d(128, classes, 1)
            return AuxiliaryLosses(model, {"decoder.fuse_middle": (coarse, 0.16), "decoder.fuse_fine": (middle, 0.4)})
        case "glnet":
            return GlobalLocalLosses(model, 512, 0.15)
    return None
