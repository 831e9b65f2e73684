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
# # Where is it wrong, and does it know?
#
# Figures by class, the confusions behind them, boundaries, calibration; then the errors as places to fly to; then a
# second segmentation: where the two differ, and who is right. About a minute and a half on two cores, without a GPU.
# By clicking: *Plugins > FCtL > Errors*; in a shell: `fctl evaluate`, `fctl errors`, `fctl compare`.

# %%
# %matplotlib inline
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from ipywidgets import Dropdown, FloatSlider, IntSlider

from fctl_napari.evaluation.agreement import compare
from fctl_napari.evaluation.error_regions import find_disagreements, find_errors, find_uncertain, order
from fctl_napari.evaluation.evaluation import evaluate
from fctl_napari.figures.comparison import error_picture
from fctl_napari.figures.evaluation import evaluation_figure
from fctl_napari.figures.sliders import slide
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import sample_files
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation

scene = sample_files()
image = open_image(scene.image)
ground_truth = open_ground_truth(scene.ground_truth)
folder = Path(tempfile.mkdtemp())
region = (700, 1890, 1400, 2160)  # short: (900, 1890, 1156, 2146)


def segmented(name, **options):
    """Segment the region."""
    out = folder / f"{name}.ome.zarr"
    end = engine.start(SegmentationRequest(str(scene.image), str(out), "earth", region=region, **options)).wait()
    if end.error is not None:
        raise end.error
    return Segmentation.open(out)


engine = Engine()
segmentation = segmented("usual", maps=True)

# %% [markdown]
# ## Figures
# Everything below is counted out of core, block by block: it works as well for 100,000 x 100,000 px.

# %%
evaluation = evaluate(segmentation, ground_truth, region)
print(evaluation.to_csv())
evaluation_figure(evaluation)

# %% [markdown]
# ## Which confusions?
# One class at a time: blue was missed, red is false. Two confusions often explain most of a low IoU.

# %%
names = segmentation.class_table.names
pairs = [
    (int(evaluation.confusion[was, predicted]), names[was], names[predicted])
    for was in range(len(names))
    for predicted in range(len(names))
    if was != predicted
]
wrong = sum(pixels for pixels, _, _ in pairs)
for pixels, was, predicted in sorted(pairs, reverse=True)[:4]:
    print(f"{pixels / wrong:5.1%} of the wrong pixels: {was} called {predicted}")

picture, mask, right = image.read(region), segmentation.labels.read(region) - np.uint8(1), ground_truth.read(region)
figure, axes = plt.subplots(1, len(names), figsize=(12, 6), layout="constrained")
for index, (name, panel) in enumerate(zip(names, axes, strict=True)):
    panel.imshow(error_picture(picture, mask, right, segmentation.class_table, positive=index))
    panel.set_title(name)
    panel.set_axis_off()
plt.close(figure)
figure

# %% [markdown]
# ## Errors to look at
# Connected regions. The confident ones first: each is either a lesson for the network, or a mistake of the truth.

# %%
errors = find_errors(segmentation, ground_truth, region)
print(f"{errors.found} regions; the largest hundred hold", end=" ")
print(f"{sum(error.pixels for error in order(errors, 'size')[:100]) / errors.pixels:.0%} of the wrong pixels")
for error in order([e for e in errors if e.pixels >= 200], "confidence")[:5]:
    was, predicted = names[error.ground_truth], names[error.predicted]
    print(f"{error.pixels:6} px at {error.point}: {was} called {predicted} at {error.confidence:.2f}")

# %% [markdown]
# ## Doubts
# Without a truth, the network's own doubts have to do. How many of the pixels that it doubts are wrong?

# %%
wrong = (mask != right) & (right != 255)
for measure in ("confidence", "entropy", "margin"):
    uncertain = find_uncertain(segmentation, region, measure=measure)
    kept = segmentation.confidence if measure == "confidence" else segmentation.maps[measure]
    value = kept.read(region) / 255
    marked = value > 0.5 if measure == "entropy" else value < (0.5 if measure == "confidence" else 0.2)
    print(
        f"{measure:>10}: {uncertain.found:5} regions; {marked.mean():6.1%} of the pixels, of which "
        f"{wrong[marked].mean():5.1%} are wrong ({wrong.mean():.1%} of all are); they hold "
        f"{wrong[marked].sum() / wrong.sum():5.1%} of the wrong ones"
    )

# %% [markdown]
# Where to draw the line? A strict one marks little and is mostly right, a generous one finds more errors and costs
# more looking. Move the threshold and the smallest region that is listed where a kernel runs. Left: those regions over
# the errors; right: all thresholds there are, and this one as a dot.


# %%
def doubted(measure, threshold, smallest):
    """Draw doubtful regions, and what share of the errors is found by looking at what share of the pixels."""
    uncertain = find_uncertain(segmentation, region, measure=measure, threshold=threshold, smallest=smallest)
    kept = segmentation.confidence if measure == "confidence" else segmentation.maps[measure]
    value = kept.read(region)[right != 255] / 255
    worst_first = np.argsort(-value if measure == "entropy" else value)
    found = np.cumsum(wrong[right != 255][worst_first]) / wrong.sum()
    looked = np.arange(1, len(found) + 1) / len(found)
    here = max(np.count_nonzero(value > threshold if measure == "entropy" else value < threshold) - 1, 0)

    figure, (left, curve) = plt.subplots(1, 2, figsize=(8, 5.5), layout="constrained", width_ratios=[1, 2])
    left.imshow(error_picture(picture, mask, right, segmentation.class_table))
    for y0, x0, y1, x1 in (uncertainty.window for uncertainty in uncertain):
        corner = (x0 - region[1], y0 - region[0])
        left.add_patch(plt.Rectangle(corner, x1 - x0, y1 - y0, fill=False, edgecolor="gold"))
    left.set(title=f"regions: {len(uncertain)}", xticks=[], yticks=[])
    curve.plot(looked, found)
    curve.plot(looked[here], found[here], "o", color="gold", markeredgecolor="black")
    curve.plot([0, 1], [0, 1], color="0.7", linestyle=":", label="at random")
    curve.set(xlabel="share of pixels looked at", ylabel="share of the wrong pixels", xlim=(0, 1), ylim=(0, 1))
    curve.set_title(f"{found[here]:.0%} of the errors in {looked[here]:.0%} of the pixels")
    curve.legend(loc="lower right")
    plt.close(figure)
    return figure


slide(
    doubted,
    measure=Dropdown(options=["confidence", "entropy", "margin"]),
    threshold=FloatSlider(0.7, min=0.05, max=0.95, step=0.05),
    smallest=IntSlider(50, 1, 500, description="smallest, px"),
)

# %% [markdown]
# ## Two segmentations
# The same network without overlap between its tiles: faster, and worse at the seams? `compare` says how far the two
# agree, and who is right where they do not.

# %%
bare = segmented("without_overlap", overlap=0)
agreement = compare(bare, segmentation, ground_truth, region)
print(f"the same class for {agreement.share:.2%} of the pixels")
print(f"mIoU without overlap {agreement.ground_truth.first.miou:.4f}, with {agreement.ground_truth.second.miou:.4f}")
for outcome, pixels in agreement.ground_truth.pixels.items():
    print(f"{pixels:8} px: {outcome.replace('the first', 'without overlap').replace('the second', 'with overlap')}")
differences = find_disagreements(bare, segmentation, region)
print(f"{differences.found} regions differ; the largest:")
for difference in order(differences, "size")[:3]:
    first, second = names[difference.ground_truth], names[difference.predicted]
    print(f"{difference.pixels:6} px at {difference.point}: {first} or {second}")
engine.close()
