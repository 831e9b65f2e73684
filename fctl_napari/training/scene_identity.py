"""Identities of scenes in model cards: by their pixels and their ground truth, whatever their names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fctl_napari.datasets.scene_ground_truth import SceneGroundTruth
from fctl_napari.imagery.fingerprint import SAMPLED, fingerprint
from fctl_napari.training.data import Scene
from fctl_napari.windows import pieces_of


def scene_fingerprint(scene: Scene) -> str:
    """Compute the identity of a scene in a model card.

    Parameters
    ----------
    scene : Scene
        The scene.

    Returns
    -------
    str
        Fingerprint of its image, ``-``, and the SHA-256 of its ground truth, shortened to 32 hexadecimal digits.

    Raises
    ------
    InputError
        The image or its ground truth is damaged.
    """
    return f"{fingerprint(scene.pyramid)}-{_ground_truth_digest(scene).hexdigest()[:32]}"


def scene_digest(scene: Scene) -> str:
    """Compute the identity of a scene in model cards before 0.2.

    Parameters
    ----------
    scene : Scene
        The scene.

    Returns
    -------
    str
        SHA-256 of its ground truth and coarsest image level, hexadecimal.

    Raises
    ------
    InputError
        The image or its ground truth is damaged.
    """
    digest = _ground_truth_digest(scene)
    digest.update(np.ascontiguousarray(scene.pyramid.levels[-1][:]).tobytes())
    return digest.hexdigest()


def names_of(scene: Scene, data: Mapping[str, str]) -> list[str]:
    """List the names under which a model card knows a scene.

    Parameters
    ----------
    scene : Scene
        The scene. Its own name does not matter.
    data : mapping of str to str
        Identities by scene name, from the card: fingerprints, or digests before 0.2.

    Returns
    -------
    list of str
        The names whose identity is that of the scene.

    Raises
    ------
    InputError
        The image or its ground truth is damaged.
    """
    new = scene_fingerprint(scene) if any(known.startswith(SAMPLED) for known in data.values()) else None
    old = scene_digest(scene) if any(not known.startswith(SAMPLED) for known in data.values()) else None
    return [name for name, known in data.items() if known in (new, old)]


def _ground_truth_digest(scene: Scene) -> hashlib._Hash:
    digest = hashlib.sha256()
    ground_truth = scene.ground_truth
    height, width = ground_truth.shape

    def stored(top: int, bottom: int) -> NDArray[np.uint8]:
        part = slice(top, bottom), slice(0, width)
        # As stored, so that a scene stays the one that earlier versions knew.
        return ground_truth.stored(part) if isinstance(ground_truth, SceneGroundTruth) else ground_truth[part]

    for y0, _, y1, _ in pieces_of((0, 0, height, width)):
        digest.update(stored(y0, y1).tobytes())
    return digest
