"""Network, loss and optimizer of a fine-tuning, and one step of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fctl_napari.finetuning.founder import founder_of
from fctl_napari.finetuning.parent import Parent
from fctl_napari.finetuning.request import FinetuneRequest
from fctl_napari.finetuning.steps.adam import Adam
from fctl_napari.finetuning.steps.feature_cache import FeatureCache
from fctl_napari.finetuning.steps.schedule import schedule
from fctl_napari.finetuning.steps.side_by_side import SideBySide
from fctl_napari.finetuning.steps.tile_loss import TileLoss
from fctl_napari.finetuning.steps.tile_network import TileNetwork
from fctl_napari.finetuning.tile_sampling import TileSets, draw_tiles
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.network import Network
from fctl_napari.segmentation.inference.hardware import resolve_precision
from fctl_napari.training.losses import class_weights


class Learner:
    """A network that learns from the tiles of a run.

    Parameters
    ----------
    request : FinetuneRequest
        All settings of the run.
    parent : Parent
        The network that learns on, which is changed in place.
    sets : TileSets
        Tiles of the run.
    cache : FeatureCache
        Cache of features and predictions.
    side_by_side : SideBySide
        Threads that compute.
    device : torch.device
        Device of the network.

    Attributes
    ----------
    network : TileNetwork
        The network over tiles.
    loss : TileLoss
        The loss of a step.
    optimizer : Adam
        The optimizer.
    step : int
        Number of finished steps.
    seconds : float
        Time spent in steps, s, over all sessions of the run.
    """

    def __init__(
        self,
        request: FinetuneRequest,
        parent: Parent,
        sets: TileSets,
        cache: FeatureCache,
        side_by_side: SideBySide,
        device: torch.device,
    ) -> None:
        self._request = request
        self._sets = sets
        self._side_by_side = side_by_side
        precision = resolve_precision(request.precision, device.type)

        def over_tiles(model: Network, kept: FeatureCache | None, decoder: nn.Module | None) -> TileNetwork:
            where, exact = (device, precision), request.exact_contexts
            return TileNetwork(model, sets.images, request.parts, kept, *where, exact=exact, parents_decoder=decoder)

        self.network = over_tiles(parent.model, cache, parent.decoder)
        oldest = founder_of(parent.path, parent.card) if sets.scenes else None
        founder = None if oldest is None else over_tiles(load_checkpoint(oldest)[0], None, None)
        self.optimizer = Adam(list(self.network.learning.values()))
        self._pixels = sets.class_pixels(parent.card.config.classes)
        weights = torch.from_numpy(class_weights(self._pixels.sum(0))).to(device)
        self.loss = TileLoss(request, sets, self.network, side_by_side, weights, founder)
        self.step = 0
        self.seconds = 0.0

    def take_step(self) -> dict[str, float]:
        """Take an optimizer step.

        Returns
        -------
        dict of str to float
            Terms of the loss, see ``TileLoss.gradients``.
        """
        request = self._request
        started = time.perf_counter()
        spent = 0.0 if request.seconds is None else self.seconds / request.seconds
        self.optimizer.learning_rate = request.learning_rate * schedule(self.step, request.steps, spent)
        gradients, terms = self.loss.gradients(draw_tiles(request, self._sets, self._pixels, self.step))

        def update() -> None:
            for gradient, (name, parameter) in zip(gradients, self.network.learning.items(), strict=True):
                if gradient is not None:
                    gradient += request.pull * (parameter.detach() - self.network.parent[name])
            self.optimizer.step(gradients)

        self._side_by_side.alone(update)
        self.step += 1
        self.seconds += time.perf_counter() - started
        return terms

    @torch.no_grad()
    def set_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Give the trained parameters other values.

        Parameters
        ----------
        weights : mapping of str to Tensor
            Values by name.
        """
        for name, parameter in self.network.learning.items():
            parameter.copy_(weights[name])

    def state_dict(self) -> dict[str, Any]:
        """Return what ``load_state_dict`` takes up.

        Returns
        -------
        dict of str to object
            The state.
        """
        return {
            "weights": {name: p.detach() for name, p in self.network.learning.items()},
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "trust": self.loss.trust,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state, which may hold other things too.

        Parameters
        ----------
        state : mapping of str to object
            State from ``state_dict``.
        """
        self.set_weights(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.loss.trust = state.get("trust", self.loss.trust)  # earlier versions had none: as before the first check
