"""Cost of taking contexts from the image's pyramid rather than from full resolution, on the sample scene.

    python benchmarks/contexts.py [--device cuda]

The built-in ``earth`` checkpoint in fp32, both ways, over the whole scene as an OME-Zarr with all its levels; scored on
the bands that were held out of its training.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from fctl_napari.evaluation.metrics import Scores, confusion_matrix
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.sample import sample_files, sample_splits, write_sample
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    ground_truth = open_ground_truth(sample_files().ground_truth)
    height, _ = ground_truth.shape
    bands = [(0, x0, height, x1) for x0, x1 in sample_splits()["test"]]
    masks: dict[str, list[np.ndarray]] = {}
    print("| contexts from | same class as exact | mIoU, test bands | accuracy, test bands |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, Engine() as engine:
        image = write_sample(Path(folder) / "earth.ome.zarr")
        for name, exact in (("full resolution (exact)", True), ("the pyramid", False)):
            request = SegmentationRequest(
                str(image),
                str(Path(folder) / f"exact-{exact}.ome.zarr"),
                "earth",
                device=options.device,
                precision="fp32",
                exact_contexts=exact,
            )
            final = engine.start(request).wait()
            if final.error is not None:
                raise final.error
            found = Segmentation.open(request.out)
            masks[name] = [found.labels.read(band) for band in (*bands, (0, 0, *found.shape))]
            classes = found.class_table.names
            matrix = sum(
                # 0 (not computed) wraps to 255 = ignored, k + 1 becomes k
                confusion_matrix(ground_truth.read(band), mask - np.uint8(1), len(classes))
                for band, mask in zip(bands, masks[name], strict=False)
            )
            scores = Scores.from_confusion(np.asarray(matrix), classes)
            exact_mask = masks["full resolution (exact)"][-1]
            print(
                f"| {name} | {100 * np.mean(masks[name][-1] == exact_mask):.2f} % | {100 * scores.miou:.2f} % "
                f"| {100 * scores.accuracy:.2f} % |",
                flush=True,
            )


if __name__ == "__main__":
    main()
