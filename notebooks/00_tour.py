# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A tour
#
# From a large image to a mask with figures, and to the question why, in about a minute on two cores, without a GPU.
# The image is the bundled scene (the Earth at 15 px per degree, 5400 x 2700 px); yours can have any size: nothing here
# reads more than it needs. The same by clicking: `fctl demo`, or *Plugins > FCtL* in napari.

# %%
# %matplotlib inline
import tempfile
from pathlib import Path

import napari
import numpy as np
from matplotlib.figure import Figure
from napari.utils.colormaps import DirectLabelColormap

from fctl_napari.evaluation.evaluation import evaluate
from fctl_napari.figures.comparison import comparison_figure
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import write_sample
from fctl_napari.model.model_card import read_card, resolve_checkpoint
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.jobs.explain import explain
from fctl_napari.segmentation.store.store import Segmentation

folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## The image
# An OME-Zarr pyramid: the full resolution, and coarser levels for looking from afar. Opening reads only what
# describes it. Windows are `(y0, x0, y1, x1)` in full-resolution pixels, everywhere.

# %%
scene = write_sample(folder / "earth.ome.zarr")
image = open_image(scene)
print(image)
for level in image.levels:
    print(level.shape, level.dtype)

# %% [markdown]
# ## The network
# A checkpoint is one file: weights, settings, class table, and a card that says what it was trained on and how well
# it does.

# %%
card = read_card(resolve_checkpoint("earth"))
print(card.description)
print("classes:", ", ".join(card.classes.names))
print("tile:", card.config.tile_size, "px; contexts:", [f"{c.name} x{c.scale}" for c in card.config.contexts])

# %% [markdown]
# ## Segment
# A worker process computes tiles and writes them into a store beside the image. Interrupt it and call it again: it
# goes on. Run another region into the same store: only what is missing is computed.

# %%
region = (700, 1890, 1400, 2160)  # short: (900, 1890, 1156, 2146)
out = folder / "land.ome.zarr"
with Engine() as engine:
    run = engine.start(SegmentationRequest(str(scene), str(out), "earth", region=region))
    progress = run.wait()
if progress.error is not None:
    raise progress.error
segmentation = Segmentation.open(out)
print(f"{progress.done} tiles on {progress.device}")

# %% [markdown]
# ## Right?
# Compared with the truth of that band, which the network was not trained on.

# %%
ground_truth = open_ground_truth(scene / "labels" / "truth")
evaluation = evaluate(segmentation, ground_truth, region)
print(f"mIoU {evaluation.scores.miou:.3f}, accuracy {evaluation.scores.accuracy:.3f}")
comparison_figure(
    image.read(region),
    segmentation.labels.read(region) - np.uint8(1),
    ground_truth.read(region),
    segmentation.class_table,
)

# %% [markdown]
# ## Why?
# What the tile around a pixel attended to; [01_explore](01_explore.ipynb) goes on from here.

# %%
told = explain(scene, "earth", (1050, 2070))
for name, probability in zip(told.class_table.names, told.probabilities, strict=True):
    print(f"{name:>12} {probability:.2f}")
for maps in told.contexts:
    print(f"{maps.name:>12} context: mean weight {maps.weight.mean():.2f}, attention by content {maps.gate:.0%}")

# %% [markdown]
# ## In napari
# Label value `k + 1` is class `k`; 0 is transparent: nothing was computed there.

# %%
viewer = napari.Viewer(title="FCtL")
viewer.add_image([np.asarray(level) for level in image.levels], name="earth")
colors = {k + 1: (*np.divide(entry.color, 255), 1) for k, entry in enumerate(segmentation.class_table.scored)}
viewer.add_labels(
    segmentation.labels.read((0, 0, *image.shape)),
    name="land cover",
    opacity=0.6,
    colormap=DirectLabelColormap(color_dict=colors | {0: (0, 0, 0, 0), None: (0, 0, 0, 0)}),
)
viewer.scene.camera.center = (0, 1050, 2025)
viewer.scene.camera.zoom = 0.9
screenshot = viewer.screenshot(canvas_only=True, flash=False)
viewer.close()
figure = Figure(figsize=(9, 9 * screenshot.shape[0] / screenshot.shape[1]), dpi=80)
axes = figure.add_axes((0, 0, 1, 1))
axes.imshow(screenshot)
axes.set_axis_off()
figure
