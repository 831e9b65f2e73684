"""Training of what follows frozen encoders, on kept features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from fctl_napari.ablation.frozen_features import (
    FeatureBatch,
    KeptFeatures,
    reliance_on_features,
    score_features,
)
from fctl_napari.ablation.frozen_tiles import Frozen, MeasuredTile
from fctl_napari.model.checkpoint import round_as_stored, save_checkpoint
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.model_card import Card
from fctl_napari.segmentation.inference.hardware import Precision
from fctl_napari.training.augment import Batch
from fctl_napari.training.config import TrainConfig
from fctl_napari.training.trainer import Trainer


class FrozenTrainer(Trainer):
    """Training run with frozen encoders, which takes features in place of pixels.

    Parameters
    ----------
    config : TrainConfig
        Settings that start from the checkpoint of the features (``init_from``) and freeze all of ``encoders``.
    out : Path or str
        Folder of the run, see ``Trainer``.
    frozen : Frozen
        The frozen encoders and the folder of their features.
    tiles : sequence of MeasuredTile
        Tiles that are measured at the end.
    part : str
        Name of the measured part of the scenes, ``"test"`` or ``"val"``.
    data_folder : Path or str, optional
        Folder that relative paths of the config start from.
    device : str, optional
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    """

    model: FCtL

    def __init__(
        self,
        config: TrainConfig,
        out: Path | str,
        frozen: Frozen,
        tiles: Sequence[MeasuredTile],
        part: str,
        *,
        data_folder: Path | str = ".",
        device: str = "auto",
    ) -> None:
        super().__init__(config, out, data_folder=data_folder, device=device)
        self._frozen = frozen
        self._tiles = tiles
        self._part = part
        self._features = KeptFeatures(frozen, "trained", self.model.config)

    def _load(self, number: int) -> FeatureBatch:  # type: ignore[override]
        """Read the features of random tiles, which depend on the seed and the number alone."""
        rng = np.random.default_rng([self.config.seed, 5, number])
        few = self.config.batch > len(self._features)
        return self._features.batch(rng.choice(len(self._features), self.config.batch, replace=few).tolist())

    def _forward(self, batch: Batch | FeatureBatch) -> Tensor:
        assert isinstance(batch, FeatureBatch)
        return batch.logits(self.model)

    def _finish(self) -> Path:
        round_as_stored(self.model)
        features = KeptFeatures(self._frozen, "measured", self.model.config)
        precision: Precision = "bf16" if self.bf16 else "fp32"
        scores = score_features(self.model, features, self.table.names, self.device, precision)
        reliance = reliance_on_features(self.model, features, self._tiles, self.device, precision)
        figures = {
            self._part: scores.to_json() | {"merge": "crop", "context_reliance": round(reliance, 5)},
            "gates": self.gates(),
        }
        self._log({"step": self.step, "figures": figures})
        card = Card(
            name=self.config.name,
            description=self.config.description,
            config=self.model.config,
            classes=self.table,
            provenance=self._provenance() | {"frozen": {"hash": self._frozen.hash, "tiles": self._frozen.tiles}},
            figures=figures,
        )
        return save_checkpoint(self.out / f"{self.config.name}.safetensors", self.model, card)
