"""Loss of a step of fine-tuning and its gradients: focal on corrected px, distillation from the parent elsewhere."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fctl_napari.finetuning.correction_sources import NOTHING
from fctl_napari.finetuning.request import FinetuneRequest
from fctl_napari.finetuning.steps.feature_cache import Arrays
from fctl_napari.finetuning.steps.side_by_side import SideBySide
from fctl_napari.finetuning.steps.tile_network import TileNetwork
from fctl_napari.finetuning.tile_sampling import Tile, TileSets
from fctl_napari.model.classes import NOT_SURE
from fctl_napari.training.losses import class_weights, distillation_loss, focal_loss

TOGETHER = 4
"""Number of tiles that the network runs at once on a CPU; a step's gradients are the sum over such parts."""


class TileLoss:
    """Loss on the tiles of a step.

    Parameters
    ----------
    request : FinetuneRequest
        All settings of the run.
    sets : TileSets
        Tiles of the run.
    network : TileNetwork
        The network.
    side_by_side : SideBySide
        Threads that compute.
    weights : Tensor of float [C]
        Class weights of corrected px.
    founder : TileNetwork or None, optional
        Network that the training scenes are held to in place of the parent, see ``founder_of``.

    Attributes
    ----------
    anchors : Tensor of float [C]
        Class weights of distillation, by the class that px are held to. They are set before the first step.
    involved : Tensor of bool [C]
        Classes that were painted, or that the parent had predicted there. They are set before the first step.
    trust : list of float
        Factor of distillation on each corrected image where the parent predicts such a class, 0..1, see ``Gain.trust``.
    """

    def __init__(
        self,
        request: FinetuneRequest,
        sets: TileSets,
        network: TileNetwork,
        side_by_side: SideBySide,
        weights: Tensor,
        founder: TileNetwork | None = None,
    ) -> None:
        self.anchors = weights
        self.involved = torch.zeros(len(weights), dtype=torch.bool)
        self.trust = [1.0] * len(sets.splits)
        self._request = request
        self._sets = sets
        self._network = network
        self._founder = founder
        self._side_by_side = side_by_side
        self._weights = weights

    @property
    def distills(self) -> bool:
        """True if the network is held to its parent."""
        return bool(self._request.near or self._request.replay)

    @property
    def no_classes(self) -> NDArray[np.int64]:
        """Counts of no px, as ``count_classes`` returns them."""
        return np.zeros((2, len(self._weights)), np.int64)

    def count_classes(self, tile: Tile) -> NDArray[np.int64]:
        """Count the px of a tile that is learned from, by class.

        Parameters
        ----------
        tile : Tile
            The tile.

        Returns
        -------
        ndarray of int64 [2, C]
            Px by the class that they are held to; px of corrections, by the class that they name and by the one that
            they replace. All 0 without distillation, which needs them.

        Raises
        ------
        InputError
            The image or the corrections are damaged there.
        """
        counts = self.no_classes
        if not self.distills:
            return counts
        labels = self._held_to(tile).float().max(0).indices.numpy()
        valid = self._sets.valid(tile)
        counts[0] = np.bincount(labels.ravel() if valid is None else labels[valid], minlength=counts.shape[1])
        target = self._sets.target(tile)
        said = (target != NOTHING) & (target != NOT_SURE)
        for classes in (target[said] - np.uint8(1), labels[said]):
            counts[1] += np.bincount(classes, minlength=counts.shape[1])
        return counts

    def weigh_classes(self, counts: NDArray[np.int64]) -> None:
        """Set ``anchors`` and ``involved``.

        Parameters
        ----------
        counts : ndarray of int64 [2, C]
            Sum of ``count_classes`` over all tiles that are learned from.
        """
        if self.distills:
            self.anchors = torch.from_numpy(class_weights(counts[0])).to(self._weights.device)
            self.involved = torch.from_numpy(counts[1] > 0)

    def gradients(self, tiles: list[Tile]) -> tuple[list[Tensor | None], dict[str, float]]:
        """Compute the gradients of the loss on tiles, and its terms.

        Parameters
        ----------
        tiles : list of Tile
            Tiles of the step.

        Returns
        -------
        gradients : list of Tensor or None
            Gradient of each parameter in ``TileNetwork.learning``, None for one that the loss does not depend on.
        terms : dict of str to float
            Weighted terms of the loss: ``"corrected"``, and ``"near"`` and ``"replay"`` where there are such tiles.
        """
        facts = self._side_by_side.map(self._facts, tiles)
        names = ["near" if tile in self._sets.targets else "replay" for tile in tiles]
        said = max(sum(float(fact["said"]) for fact in facts), 1e-6)
        held = dict.fromkeys(names, 1e-6)
        for fact, name in zip(facts, names, strict=True):
            held[name] += float(fact.get("held", 0))
        wanted = {"near": self._request.near, "replay": self._request.replay}
        factors = [wanted[name] / held[name] for name in names]

        def part(chosen: range) -> tuple[tuple[Tensor | None, ...], float, list[float]]:
            pick = [facts[i] for i in chosen]
            return self._part([tiles[i] for i in chosen], pick, [factors[i] for i in chosen], said)

        size = TOGETHER if self._network.device.type == "cpu" else len(tiles)
        parts = [range(i, min(i + size, len(tiles))) for i in range(0, len(tiles), size)]
        found = self._side_by_side.map(part, parts)
        by_parameter = zip(*(gradients for gradients, _, _ in found), strict=True)
        gradients = self._side_by_side.alone(lambda: [_sum(of_parts) for of_parts in by_parameter])
        terms = {"corrected": sum(corrected for _, corrected, _ in found)}
        distilled = [value for _, _, values in found for value in values]
        for name in ("near", "replay"):
            if wanted[name] and name in names:
                terms[name] = sum(value for value, own in zip(distilled, names, strict=True) if own == name)
        return gradients, terms

    def _part(
        self, tiles: list[Tile], facts: list[Arrays], factors: list[float], said: float
    ) -> tuple[tuple[Tensor | None, ...], float, list[float]]:
        """Compute gradients of some tiles, their share in the focal loss, and the distillation of each."""
        device = self._network.device
        logits = self._network.logits(tiles)
        loss = logits.new_zeros(())
        of_tile = torch.cat([torch.full_like(fact["where"], i) for i, fact in enumerate(facts)]).to(device)
        if len(of_tile):
            where, classes = (
                torch.cat([fact[key] for fact in facts]).long().to(device) for key in ("where", "classes")
            )
            share = sum(float(fact["said"]) for fact in facts) / said
            picked = logits.flatten(2)[of_tile.long(), :, where].T[None, :, None]
            loss = share * focal_loss(picked, classes[None, None], self._request.focal_gamma, self._weights)
        corrected, distilled = float(loss.detach()), [0.0] * len(tiles)
        if self.distills:
            targets = torch.stack([fact["targets"] for fact in facts]).to(device)
            entropy = torch.stack([fact["entropy"] for fact in facts]).to(device)
            scale = torch.tensor(factors, device=device)
            of_tiles = (distillation_loss(logits, targets) - entropy) * scale
            loss, distilled = loss + of_tiles.sum(), of_tiles.tolist()
        learning = list(self._network.learning.values())
        return torch.autograd.grad(loss, learning, allow_unused=True), corrected, distilled

    def _facts(self, tile: Tile) -> Arrays:
        """Compute what the loss needs of a tile, or read it from the cache.

        Returns
        -------
        dict of str to Tensor
            Corrected px, ``"where"`` in the flat tile, with their ``"classes"`` and the sum ``"said"`` of their
            weights; of distillation its ``"targets"``, the sum ``"held"`` of the weights in them if the parent were
            trusted, and their ``"entropy"``.
        """
        trust = self.trust[tile.source] if self._corrected(tile) else 1.0

        def make() -> Arrays:
            target = self._sets.target(tile)
            where = np.flatnonzero((target != NOTHING) & (target != NOT_SURE)).astype(np.int32)
            classes = torch.from_numpy(target.ravel()[where] - np.uint8(1))
            said = self._weights.cpu()[classes.long()].sum()
            corrected = {"where": torch.from_numpy(where), "classes": classes, "said": said}
            if not self.distills:
                return corrected
            log_p = self._held_to(tile).float()
            top, predicted = log_p.max(0)
            free = torch.from_numpy(target == NOTHING)
            held = free * top.exp() ** self._request.confidence_power * self.anchors.cpu()[predicted]
            trusted = torch.where(self.involved[predicted], trust, 1.0)
            targets = (log_p.exp() * held * trusted).half()
            return corrected | {"held": held.sum(), "targets": targets, "entropy": -(targets.float() * log_p).sum()}

        return self._network.cached(f"loss {tile.source} {tile.window} {trust:.3f}", make)

    def _corrected(self, tile: Tile) -> bool:
        """Return whether a tile is of a corrected image. Training scenes follow these."""
        return tile.source < len(self.trust)

    def _held_to(self, tile: Tile) -> Tensor:
        """Return the log-probabilities that the network is held to, float16 [C, T, T] on the CPU."""
        founder = self._founder
        if founder is None or self._corrected(tile):
            return self._network.parents_prediction(tile)
        key = f"founder {tile.source} {tile.window}"
        return self._network.cached(key, lambda: {"log_p": founder.parents_prediction(tile)})["log_p"]


def _sum(gradients: tuple[Tensor | None, ...]) -> Tensor | None:
    """Add gradients in their order."""
    there = [gradient for gradient in gradients if gradient is not None]
    return sum(there[1:], there[0]) if there else None
