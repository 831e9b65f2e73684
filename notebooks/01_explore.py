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
# # Why this class here?
#
# A network that looks beyond its tile should be asked what it saw there. This notebook asks the built-in `earth`
# network about a pixel of the sample scene (attention, fusion weights, local enhancement), takes parts of the network
# away to see whether those maps tell the truth, looks at a whole region, and ends with the errors: figures, where
# they are, and which to look at first. About a minute and a half on two cores, without a GPU. The same by clicking:
# *Plugins > FCtL > Explore* and *Errors* in napari.

# %%
# %matplotlib inline
import tempfile
from pathlib import Path

import napari
import numpy as np
from ipywidgets import Dropdown, IntSlider
from matplotlib.figure import Figure

from fctl_napari.evaluation.error_regions import find_errors, find_uncertain, order
from fctl_napari.evaluation.evaluation import evaluate
from fctl_napari.figures.comparison import comparison_figure
from fctl_napari.figures.evaluation import evaluation_figure
from fctl_napari.figures.explanation import explanation_figure
from fctl_napari.figures.sliders import slide
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import sample_files
from fctl_napari.model.feature_ablation import Without
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.jobs.explain import explain
from fctl_napari.segmentation.store.store import Segmentation

scene = sample_files()
image = open_image(scene.image)
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## One pixel
# Eastern Brazil, which the network was not trained on. `explain` finds the tile that owns the pixel, reads the very
# windows that a segmentation would read, and returns arrays with those windows, in full-resolution pixels `(y, x)`.

# %%
location = (1050, 2070)
told = explain(scene.image, "earth", location)
names = told.class_table.names
print(f"tile {told.tile}, cell {told.cell} of its feature grid, {told.where}")
for maps in told.contexts:
    y0, x0, y1, x1 = (round(v) for v in maps.window)
    print(
        f"{maps.name:>7}: sees ({y0}, {x0}) to ({y1}, {x1}); content {maps.gate:.0%}, position {1 - maps.gate:.0%}; "
        f"gamma {maps.gamma:+.2f}; mean weight {maps.weight.mean():.2f}"
    )
print(", ".join(f"{name} {p:.2f}" for name, p in zip(names, told.probabilities, strict=True)))

# %% [markdown]
# As in the paper's Fig. 10: each context with the attention of that pixel over it, the attention that each of its
# cells receives from the whole tile, and the weight that fusion gives it over the tile. Where a kernel runs, move the
# pixel, and look at the fusion weights of one of the 128 channels (-1: their mean).


# %%
def explained(y, x, channel):
    """Explain a pixel as in Fig. 10."""
    return explanation_figure(explain(scene.image, "earth", (y, x), channel=None if channel < 0 else channel), image)


slide(
    explained,
    y=IntSlider(location[0], 0, image.shape[0] - 1),
    x=IntSlider(location[1], 0, image.shape[1] - 1),
    channel=IntSlider(-1, -1, 127),
)

# %% [markdown]
# ## What if?
# Attention says where the network looked, not whether that changed its mind. So take parts away, one by one, and
# count the pixels of the tile that change. The weights stay as they were trained.

# %%
parts = [[maps.name] for maps in told.contexts] + [["gpe"], ["ale"], [maps.name for maps in told.contexts]]
for part in parts:
    other = explain(scene.image, "earth", location, without=Without.named(part)).without
    changed = (other.labels != told.labels).mean()
    new = names[int(other.probabilities.argmax())]
    print(
        f"without {' + '.join(part):<22} {changed:6.1%} of the tile change; here {new} {other.probabilities.max():.2f}"
    )

# %% [markdown]
# Without the gated positional embeddings, as in the paper's Fig. 11 (or without what you choose):

# %%
slide(
    lambda without: explanation_figure(
        explain(scene.image, "earth", location, without=Without.named([without])), image
    ),
    without=Dropdown(value="gpe", options=["gpe", "ale", *(maps.name for maps in told.contexts)]),
)

# %% [markdown]
# ## A region
# The same for every pixel of a region: `maps=True` keeps entropy, margin and the fusion weights in the segmentation,
# as lazy pyramids that a second run goes on with.

# %%
band = (700, 1890, 1400, 2160)  # short: (900, 1890, 1156, 2146)
out = folder / "brazil.ome.zarr"
with Engine() as engine:
    run = engine.start(SegmentationRequest(str(scene.image), str(out), "earth", region=band, maps=True))
    progress = run.wait()
if progress.error is not None:
    raise progress.error
segmentation = Segmentation.open(out)
print(f"{progress.done} tiles; {', '.join(segmentation.maps)}")

figure = Figure(figsize=(12, 5.8), layout="constrained", dpi=100)
pictures = figure.subplots(1, 2 + len(segmentation.maps))
pictures[0].imshow(image.read(band))
pictures[0].set_title("image")
for axes, (name, kept) in zip(pictures[1:], segmentation.maps.items(), strict=False):
    weight = name.startswith("weight_")
    drawn = axes.imshow(kept.read(band) / 255, vmin=0.2 * weight, vmax=0.5 if weight else 1, cmap="magma")
    axes.set_title(name.replace("_", " "))
    if name in ("margin", "weight_large"):
        label = "weights" if weight else "entropy, margin"
        figure.colorbar(drawn, ax=list(pictures), location="bottom", label=label, shrink=0.4, aspect=40)
weights = [segmentation.maps[f"weight_{maps.name}"].read(band) / 255 for maps in told.contexts]
pictures[-1].imshow(np.clip((np.stack(weights, axis=-1) - 0.2) / 0.3, 0, 1))
pictures[-1].set_title("red local, green\nmedium, blue large")
for axes in pictures:
    axes.set_axis_off()
figure

# %% [markdown]
# ## The errors
# Against the truth of the same region. Each wrong pixel has the color of the class that was predicted.

# %%
ground_truth = open_ground_truth(scene.ground_truth)
evaluation = evaluate(segmentation, ground_truth, band)
print(evaluation.to_csv())
evaluation_figure(evaluation)

# %%
comparison_figure(
    image.read(band), segmentation.labels.read(band) - np.uint8(1), ground_truth.read(band), segmentation.class_table
)

# %% [markdown]
# What to look at first: connected regions that were called something else, the most confident ones at the top. A
# confidently wrong region is either a lesson for the network or a mistake of the truth.

# %%
errors = find_errors(segmentation, ground_truth, band)
print(f"{errors.found} regions of 16 px or more, {errors.small} smaller ones, {errors.pixels} px in all")
for region in order([r for r in errors if r.pixels >= 200], "confidence")[:8]:
    was, predicted = names[region.ground_truth], names[region.predicted]
    print(f"{region.pixels:6} px at {region.point}: was {was}, called {predicted} at {region.confidence:.2f}")
uncertain = find_uncertain(segmentation, band)
print(f"Without a truth: {uncertain.found} regions in which the chosen class has less than even odds.")

# %% [markdown]
# ## In napari
# Image, attention over the medium context's own footprint (which is larger than the tile), the tile and the pixel. A
# map of cells that are `s` px large and begin at `a` is placed by `scale = s`, `translate = a + (s - 1) / 2`: napari's
# translate is the centre of cell 0. The Explore widget places its layers so, on scaled and turned images too.

# %%
viewer = napari.Viewer(title="FCtL")
viewer.add_image(np.asarray(image.levels[0][:, :]), name="scene")
medium = told.contexts[1]
y0, x0, y1, x1 = medium.footprint
cell = np.array([y1 - y0, x1 - x0]) / medium.combined.shape
viewer.add_image(
    medium.combined,
    name="attention, medium context",
    colormap="inferno",
    blending="additive",
    scale=cell,
    translate=np.array([y0, x0]) + (cell - 1) / 2,
)
y0, x0, y1, x1 = told.tile
viewer.add_shapes(
    [[[y0, x0], [y0, x1], [y1, x1], [y1, x0]]], edge_color="cyan", face_color="transparent", edge_width=6, name="tile"
)
viewer.add_points([location], size=16, face_color="cyan", name="pixel")
viewer.scene.camera.center = (0, *location)
viewer.scene.camera.zoom = 0.6
screenshot = viewer.screenshot(canvas_only=True, flash=False)
viewer.close()
figure = Figure(figsize=(9, 9 * screenshot.shape[0] / screenshot.shape[1]), dpi=80)
axes = figure.add_axes((0, 0, 1, 1))
axes.imshow(screenshot)
axes.set_axis_off()
figure
