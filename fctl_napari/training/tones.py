"""Histograms of training scenes, and curves that give the bands of one scene the values of another (no torch).

Scenes that were taken in another light, season or by another sensor differ in color more than classes do. A network
that sees each scene's texture in the colors of the others learns less of the scene by heart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fctl_napari.imagery.image_colors import sample_colors
from fctl_napari.model.config import FCtLConfig
from fctl_napari.segmentation.inference.network_image import network_image
from fctl_napari.training.data import Scene

REGIONS = 16
"""Largest number of training regions of a scene whose values are read, evenly chosen."""

SHARES = np.linspace(0.01, 0.99, 33)
"""Shares of the px that lie below the quantiles."""


class SceneTones:
    """Quantiles of the bands of training scenes, each measured when it is first needed.

    Parameters
    ----------
    scenes : sequence of Scene
        All scenes. Only those with training regions lend their colors.
    config : FCtLConfig
        Settings of the network, which reads the images.
    """

    def __init__(self, scenes: Sequence[Scene], config: FCtLConfig) -> None:
        self._scenes = scenes
        self._config = config
        self._trained = [index for index, scene in enumerate(scenes) if scene.train]
        self._quantiles: dict[int, NDArray[np.float64]] = {}

    def quantiles(self, index: int) -> NDArray[np.float64]:
        """Measure the quantiles of the bands on the training regions of a scene.

        Parameters
        ----------
        index : int
            Index of a scene with training regions.

        Returns
        -------
        ndarray of float64 [C, Q]
            Quantiles of each band at ``SHARES``, 0..255.

        Raises
        ------
        InputError
            The image is damaged.
        """
        if index not in self._quantiles:
            scene = self._scenes[index]
            image = network_image(scene.pyramid, self._config)
            chosen = np.linspace(0, len(scene.train) - 1, min(REGIONS, len(scene.train))).round().astype(int)
            values = np.concatenate([sample_colors(image, scene.train[i]) for i in chosen])
            empty = np.tile(255 * SHARES, (values.shape[1], 1))
            self._quantiles[index] = np.quantile(values, SHARES, axis=0).T if len(values) else empty
        return self._quantiles[index]

    def curves(self, index: int, largest: float, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw another training scene, and move the histograms of a scene's bands towards its own.

        Parameters
        ----------
        index : int
            Index of a scene with training regions.
        largest : float
            How far they move at most: 0 leaves the values, 1 gives those of the other scene.
        rng : random.Generator
            Random generator.

        Returns
        -------
        ndarray of float32 [C, 256]
            New value of each value 0..255. Beyond the outermost quantiles values move as far as these.

        Raises
        ------
        InputError
            An image is damaged.
        """
        share = rng.uniform(0, largest)
        other = self._trained[int(rng.integers(len(self._trained)))]
        values = np.arange(256.0)
        pairs = zip(self.quantiles(index), self.quantiles(other), strict=True)
        moves = np.stack([np.interp(values, own, wanted - own) for own, wanted in pairs])
        return (values + share * moves).clip(0, 255).astype(np.float32)
