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
# # Correct, fine-tune, keep or roll back
#
# See an error, paint it, let the network learn from it, see whether it got better here *and* stayed what it was
# elsewhere, and only then keep it. Two minutes on two cores, without a GPU. The annotator is simulated (a brush, and
# the truth of a few places), so that the figures can be repeated; by hand the same happens in *Plugins > FCtL >
# Correct* and *Fine-tune* in napari, or with `fctl finetune` in a shell.

# %%
# %matplotlib inline
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.evaluation.acquisition import find_next
from fctl_napari.evaluation.error_regions import find_errors
from fctl_napari.evaluation.evaluation import evaluate
from fctl_napari.figures.comparison import colorize
from fctl_napari.finetuning.affected_tiles import affected_cells
from fctl_napari.finetuning.candidates import keep, roll_back
from fctl_napari.finetuning.finetune import finetune
from fctl_napari.finetuning.lineage import lineage
from fctl_napari.finetuning.request import finetune_request
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import sample_files
from fctl_napari.model.model_card import read_card, resolve_checkpoint
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation

scene = sample_files()
image = open_image(scene.image)
ground_truth = open_ground_truth(scene.ground_truth)
classes = read_card(resolve_checkpoint("earth")).classes
folder = Path(tempfile.mkdtemp())
engine = Engine()

# %% [markdown]
# ## See the errors
# Eastern Brazil, a test band: the `earth` network was not trained on it.

# %%
band = (700, 1890, 1400, 2160)  # short: (900, 1890, 1156, 2146)


def finished(run):
    """Wait for a segmentation and open it."""
    progress = run.wait()
    if progress.error is not None:
        raise progress.error
    return Segmentation.open(run.out)


out = str(folder / "parent.ome.zarr")
parents = finished(engine.start(SegmentationRequest(str(scene.image), out, "earth", region=band, maps=True)))
errors = find_errors(parents, ground_truth, band)
print(f"mIoU {evaluate(parents, ground_truth, band).scores.miou:.3f}; {errors.found} regions of errors")

# %% [markdown]
# ## Where to correct
# Regions in which correcting is expected to gain most: the network's entropy, times the rarity of the class it called,
# times the size. (The truth in the last column is only to see whether it pays to look there.)


# %%
def show_next(segmentation):
    """List where to correct next."""
    found = find_next(segmentation, region=band)
    print(f"{len(found)} regions")
    for suggestion in found[:8]:
        region = suggestion.region
        predicted = segmentation.labels.read(region.window) - np.uint8(1) == region.predicted
        wrong = (ground_truth.read(region.window)[predicted] != region.predicted).mean()
        print(
            f"gain {suggestion.gain:.2f} = {suggestion.entropy:.2f} x {suggestion.rarity:.2f} x {suggestion.size:.2f}: "
            f"{region.pixels:5} px of {classes.names[region.predicted]:<11} at {region.point}, {wrong:4.0%} wrong"
        )
    return found


suggestions = show_next(parents)

# %% [markdown]
# ## Correct
# A dab of a round brush in each of the first twelve; every pixel of a dab gets its class, also those that were
# right. Corrections are an OME-Zarr label pyramid beside the image. Each `write` is one stroke: when it returns, the
# stroke survives the machine's death, and it can be undone.

# %%
RADIUS = 20
rows, columns = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
brush = rows**2 + columns**2 <= RADIUS**2

corrections_path = folder / "corrections.ome.zarr"
with Corrections.create(corrections_path, image, classes) as corrections:
    for suggestion in suggestions[:12]:
        y0, x0, y1, x1 = suggestion.region.window
        y = int(np.clip((y0 + y1) // 2 - RADIUS, band[0], band[2] - 2 * RADIUS - 1))
        x = int(np.clip((x0 + x1) // 2 - RADIUS, band[1], band[3] - 2 * RADIUS - 1))
        said = ground_truth.read((y, x, y + 2 * RADIUS + 1, x + 2 * RADIUS + 1))
        corrections.write(y, x, said + np.uint8(1), mask=brush & (said != 255), author="notebook")
    corrections.undo()
    corrections.redo()
    painted = corrections.regions()
    for name, area in corrections.area_by_class().items():
        print(f"{name:>12} {area:6} px")
print(f"{len(painted)} regions")

# %% [markdown]
# ## Fine-tune
# Decoder and fusion learn (encoders stay, so their features are computed once): focal loss on what was painted;
# elsewhere, and on tiles of the scenes that it knew, the parent's own prediction is the teacher. A fifth of the
# painted regions is held out and only measured. `finetune` keeps the network if its gate lets it pass; below both
# ends are shown.

# %%
steps = 50  # short: 2
replay_tiles = 12  # short: 2
training_tiles = 24  # short: 2
check_tiles = 16  # short: 2
request = finetune_request(
    image=str(scene.image),
    checkpoint="earth",
    corrections=str(corrections_path),
    out=str(folder / "mine.safetensors"),
    steps=steps,
    replay_tiles=replay_tiles,
    training_tiles=training_tiles,
    check_tiles=check_tiles,
    check_every=max(steps // 5, 1),
)
course = []
result = finetune(request, watch=course.append)

trained = [progress for progress in course if progress.phase == "training"]
checks = {progress.measured_at: progress.now for progress in trained if progress.measured_at}
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.2), layout="constrained")
left.plot([progress.done for progress in trained], [progress.loss for progress in trained])
left.set(title="loss", xlabel="step")
before = trained[-1].before
middle.plot(list(checks), [now["held_out"].scores.miou for now in checks.values()], "o-")
middle.axhline(before["held_out"].scores.miou, color="0.5", linestyle="--", label="parent")
middle.set(title="IoU on held-out corrections", xlabel="step")
middle.legend()
for part in ("scene", "training"):
    right.plot(list(checks), [now[part].agreement for now in checks.values()], "o-", label=part)
right.axhline(1 - result.card.bound(), color="0.5", linestyle="--", label="gate")
right.set(title="called as by the parent, elsewhere", xlabel="step")
right.legend()
plt.close(figure)
figure

# %% [markdown]
# ## Gate
# The card before and after, and what the gate makes of it.

# %%
for reason in result.gate_result.reasons:
    print(reason)
print("kept" if result.kept else f"not kept; {result.candidate.name} waits")
for note in result.notes:
    print(note)

# %% [markdown]
# The candidate waits beside the name that it may get, whatever the gate said; the gate is careful, and few held-out
# dabs are a coarse measure, so people may decide otherwise. `keep` makes it a checkpoint with its parent, settings and
# figures in its card, and never overwrites one; `roll_back` removes it, and nothing else.

# %%
if not result.kept:
    keep(request.out)

again = request.model_copy(update={"out": str(folder / "another.safetensors"), "steps": 2, "held_out": 0.0})
other = finetune(again)  # nothing is held out, so the gate cannot let it pass
print(f"without held-out corrections: kept {other.kept}; {' '.join(other.gate_result.reasons)}")
roll_back(again.out)
print(f"after rolling back: {[path.name for path in folder.glob('*.safetensors')]}")


def show(kin, depth=0):
    """Print a family of checkpoints."""
    print("  " * depth + kin.name, kin.hash[:12], kin.story())
    for child in kin.children:
        show(child, depth + 1)


for eldest in lineage(folder):
    show(eldest)

# %% [markdown]
# ## The new mask
# Only tiles that are likely to change are computed anew: those that meet a correction, and those of which the parent
# was not sure. The others are taken over from the parent and marked as such, until somebody runs them.

# %%
with Corrections.open(corrections_path) as corrections:
    cells = affected_cells(parents, corrections)
child = finished(
    engine.start(
        SegmentationRequest(
            str(scene.image),
            str(folder / "child.ome.zarr"),
            request.out,
            region=band,
            cells=cells,
            inherit=str(parents.path),
            maps=True,
        )
    )
)
print(f"{child.done().sum()} tiles computed, {child.inherited().sum()} taken over")
for name, segmentation in (("parent", parents), ("child", child)):
    print(f"{name:>7}: mIoU {evaluate(segmentation, ground_truth, band).scores.miou:.3f}")

before, after = (part.labels.read(band) for part in (parents, child))
right = ground_truth.read(band)
gained, lost = (after - 1 == right) & (before - 1 != right), (after - 1 != right) & (before - 1 == right)
difference = (image.read(band).mean(-1, keepdims=True) * 0.6 + 40).repeat(3, -1).astype(np.uint8)
difference[gained & (right != 255)] = (0, 158, 115)
difference[lost & (right != 255)] = (213, 94, 0)
with Corrections.open(corrections_path) as corrections:
    strokes = corrections.read(band)
pictures = {
    "image": image.read(band),
    "corrections": colorize(strokes - np.uint8(1), classes),
    "before": colorize(before - np.uint8(1), classes),
    "after": colorize(after - np.uint8(1), classes),
    "truth": colorize(right, classes),
    "green: right now,\norange: wrong now": difference,
}
figure, panels = plt.subplots(1, len(pictures), figsize=(13, 6), layout="constrained")
for panel, (title, picture) in zip(panels, pictures.items(), strict=True):
    panel.imshow(picture)
    panel.set_title(title)
    panel.set_axis_off()
plt.close(figure)
figure

# %% [markdown]
# ## And next?
# The same list by the new network's doubts. With the corrections as a second argument, what lies within 128 px of one
# is left out; in this narrow band that is all there is.

# %%
show_next(child)
engine.close()
