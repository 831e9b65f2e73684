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
# # Your own data
#
# A folder of images with masks becomes a network that segments such images: lay it out, look it through, train, see
# what was learnt, segment what was held out. Three minutes on two cores, without a GPU: enough to see that everything
# fits together, not enough for a good network (the end says what real work takes). The folder is made here from the
# bundled scene; put your own path in its place.

# %%
# %matplotlib inline
import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import napari
import numpy as np
from ipywidgets import Dropdown
from matplotlib.figure import Figure
from napari.utils.colormaps import DirectLabelColormap
from PIL import Image

from fctl_napari.datasets.check import check_data_set
from fctl_napari.datasets.layouts import find_data_set
from fctl_napari.evaluation.evaluation import evaluate
from fctl_napari.evaluation.metrics import Scores
from fctl_napari.figures.comparison import colorize, comparison_figure
from fctl_napari.figures.sliders import slide
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import sample_files
from fctl_napari.model.model_card import read_card
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.training.config import load_train_config
from fctl_napari.training.train import train

folder = Path(tempfile.mkdtemp())
data = folder / "data"

# %% [markdown]
# ## A folder
# `images/NAME.jpg` with `masks/NAME.png`, and `classes.json` beside them, which says what the colours of the masks
# are. (Masks may hold class indices too, or any values that `"values"` there explains; `a.png` with `a_mask.png` in
# one folder does as well.) What nobody can tell gets a class of its own that is ignored, at the end.
#
# Here: pieces of the Earth, those with most land, in four classes.

# %%
pictures = 12  # short: 6
classes = [
    {"name": "water", "color": [38, 108, 190]},
    {"name": "forest", "color": [30, 110, 48]},
    {"name": "open land", "color": [240, 168, 48]},
    {"name": "barren", "color": [214, 190, 160]},
    {"name": "unknown", "color": [0, 0, 0], "ignored": True},
]
scene = sample_files()
earth, land_cover = open_image(scene.image), open_ground_truth(scene.ground_truth)
colors = np.zeros((256, 3), np.uint8)
for value, index in ((0, 0), (1, 1), (2, 2), (3, 2), (4, 3)):  # rangeland and agriculture together
    colors[value] = classes[index]["color"]

side = 540  # short: 270
height, width = earth.shape
corners = [(y, x) for y in range(0, height - side + 1, side) for x in range(0, width - side + 1, side)]
windows = [(y, x, y + side, x + side) for y, x in corners]
windows.sort(key=lambda window: -np.isin(land_cover.read(window), (1, 2, 3, 4)).mean())
for part in ("images", "masks"):
    (data / part).mkdir(parents=True)
for window in windows[:pictures]:
    name = f"earth_{window[0]:04}_{window[1]:04}"
    Image.fromarray(earth.read(window)).save(data / f"images/{name}.jpg", quality=92)
    Image.fromarray(colors[land_cover.read(window)]).save(data / f"masks/{name}.png")
(data / "classes.json").write_text(json.dumps({"classes": classes}))
print(*sorted(path.relative_to(data).as_posix() for path in data.rglob("*.*"))[:4], "...", sep="\n")

# %% [markdown]
# ## Look it through
# `fctl data check DIR` says what is there and what does not fit, file by file; no pair that cannot be read should be
# found by a training that has run for a day. To see it at work, one mask is saved as JPEG (which changes colours), and
# one image is cut short.

# %%
broken = sorted((data / "masks").iterdir())[0]
cut = sorted((data / "images").iterdir())[1]
kept = {path: path.read_bytes() for path in (broken, cut)}
Image.open(broken).save(broken, format="JPEG")
cut.write_bytes(kept[cut][:5000])


def look_through():
    """What `fctl data check` finds."""
    report = check_data_set(find_data_set(data))
    print(report.data.describe().replace(str(folder), ""))
    for problem in report.problems:
        print(f"{problem.file}: {problem.what}; {problem.do}".replace(str(folder), ""))
    print(f"{report.sound} training pairs can be used")
    return report


look_through()
for path, content in kept.items():
    path.write_bytes(content)

# %% [markdown]
# Mended, it looks like this. The names alone decide who trains, who validates and who tests, the same on every machine;
# `train.txt`, `val.txt` and `test.txt` in the folder decide otherwise. **Pictures that show the same ground belong on
# one side.**

# %%
report = look_through()
split = report.data.split
figure, (counts, *panels) = plt.subplots(1, 5, figsize=(13, 3.4), layout="constrained", width_ratios=[1.4, 1, 1, 1, 1])
parts = {part: report.shares(part) for part in ("train", "val", "test")}
for k, (part, shares) in enumerate(parts.items()):
    counts.bar(np.arange(len(shares)) + 0.27 * (k - 1), list(shares.values()), 0.25, label=part)
counts.set_xticks(range(len(report.data.table.names)), report.data.table.names, rotation=30)
counts.set(title="share of labelled pixels")
counts.legend()
for pair, image_panel, mask_panel in zip(split.train, panels[::2], panels[1::2], strict=False):
    image_panel.imshow(Image.open(pair.image))
    image_panel.set_title(pair.name, fontsize="medium")
    mask_panel.imshow(Image.open(pair.ground_truth))
for panel in panels:
    panel.set_axis_off()
plt.close(figure)
figure

# %% [markdown]
# ## Train
# A training is a TOML file. This one starts from the built-in `aerial` network, which has never seen the Earth from
# so far, nor these classes: what fits is taken over (encoders, contexts, fusion, most of the decoder), the layers
# that say which class start anew. Contexts are twice the tile, and the whole picture. The encoder's first blocks and
# the contexts' encoders stay as they are; that is faster, and needs less data.

# %%
steps = 100  # short: 2
config = folder / "land.toml"
config.write_text(f"""
name = "land"
description = "Land cover in four classes, from pieces of the Earth scene."
preset = "fctl_lite"
init_from = "aerial"
steps = {steps}
batch = 4
learning_rate = 1e-3
encoder_factor = 0.2
loss = "cross_entropy"
class_weights = "inverse_sqrt"
frozen = [
    "encoders.tile.stem", "encoders.tile.blocks.0.", "encoders.tile.blocks.1.", "encoders.tile.blocks.2.",
    "encoders.medium", "encoders.large",
]
validate_every = {max(steps // 4, 2)}
save_every = 25
keep = "best"

[network]
width = 128
top_down = true
finest_skip = 2
gate_init = 1.0
context_border = "shift"
contexts = [
    {{ name = "local" }},
    {{ name = "medium", scale = 2.0 }},
    {{ name = "large", scale = "global" }},
]

[data]
layout = "pairs"
""")
checkpoint = train(load_train_config(config), folder / "run", data_folder=data)
print(checkpoint.name)

# %% [markdown]
# In a shell: `fctl train land.toml --data DIR --out run`. Killed and called again, it goes on where it last saved, to
# the bit. `--set KEY=VALUE` changes any setting, and `--set run.tensorboard=true` writes this curve while it grows:

# %%
log = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
losses = [entry for entry in log if "loss" in entry]
checks = [entry for entry in log if "val" in entry]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3), layout="constrained")
left.plot([entry["step"] for entry in losses], [entry["loss"] for entry in losses], color="0.75")
window = max(len(losses) // 10, 1)
smooth = np.convolve([entry["loss"] for entry in losses], np.ones(window) / window, "valid")
left.plot(np.arange(len(smooth)) + window, smooth)
left.set(title="loss", xlabel="step", ylim=(0, None))
right.plot([entry["step"] for entry in checks], [entry["val"]["miou"] for entry in checks], "o-")
right.set(title=f"mIoU on {len(split.val)} validation picture(s)", xlabel="step", ylim=(0, 1))
plt.close(figure)
figure

# %% [markdown]
# The checkpoint carries its card: settings, data, and figures on the test pictures, which had no say in anything.
# `context_reliance` is the share of pixels that change when contexts are swapped: whether they are used at all.

# %%
card = read_card(checkpoint)
where, figures = card.headline()
print(f"{where}: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))

# %% [markdown]
# ## Segment and evaluate
# As any other image with any other checkpoint: `fctl segment IMAGE --checkpoint run/land.safetensors --out
# S.ome.zarr`, `fctl evaluate S.ome.zarr MASK`. In napari: *Plugins > FCtL > Segment*, and choose the file.

# %%
segmented, total = {}, 0
with Engine() as engine:
    for pair in split.test:
        out = folder / f"{pair.name}.ome.zarr"
        progress = engine.start(SegmentationRequest(str(pair.image), str(out), str(checkpoint))).wait()
        if progress.error is not None:
            raise progress.error
        segmentation = Segmentation.open(out)
        ground_truth = open_ground_truth(pair.ground_truth, [info.color for info in card.classes])
        evaluation = evaluate(segmentation, ground_truth)
        print(f"{pair.name}: mIoU {evaluation.scores.miou:.3f}, accuracy {evaluation.scores.accuracy:.3f}")
        total = total + evaluation.confusion
        right = ground_truth.read((0, 0, *ground_truth.shape))
        right[right >= len(card.classes.scored)] = 255  # unknown
        mask = segmentation.labels.read((0, 0, *ground_truth.shape)) - np.uint8(1)
        segmented[pair.name] = np.asarray(Image.open(pair.image)), mask, right
for name, iou in Scores.from_confusion(total, card.classes.names).iou.items():
    print(f"{name:>10}: IoU {iou:.3f}")

# %%
slide(
    lambda picture: comparison_figure(*segmented[picture], card.classes),
    picture=Dropdown(options=list(segmented)),
)

# %% [markdown]
# ## In napari

# %%
name, (picture, mask, right) = next(iter(segmented.items()))
viewer = napari.Viewer(title="FCtL")
viewer.add_image(picture, name=name)
colors = {k + 1: (*np.divide(info.color, 255), 1) for k, info in enumerate(card.classes.scored)}
colormap = DirectLabelColormap(color_dict=colors | {0: (0, 0, 0, 0), None: (0, 0, 0, 0)})
viewer.add_labels(mask + np.uint8(1), name="land", opacity=0.6, colormap=colormap)
viewer.add_image(colorize(right, card.classes), name="truth", translate=(0, picture.shape[1] + 20))
viewer.reset_view()
screenshot = viewer.screenshot(canvas_only=True, flash=False)
viewer.close()
figure = Figure(figsize=(9, 9 * screenshot.shape[0] / screenshot.shape[1]), dpi=80)
axes = figure.add_axes((0, 0, 1, 1))
axes.imshow(screenshot)
axes.set_axis_off()
figure

# %% [markdown]
# From here: [errors](05_error_analysis.ipynb), [corrections and fine-tuning](02_correct_and_finetune.ipynb),
# [why this class](01_explore.ipynb).
#
# ## For real
# *How much?* The built-in `earth` network took 600 steps of 8 tiles without contexts and 600 with them, a quarter of
# an hour on two cores, and is a small one. The paper's schedule on DeepGlobe (454 images, 36 tiles each, 50 epochs,
# batches of 6) is 136,200 steps of a large one, and a recipe makes that four times, once for each stage: a matter for
# GPUs. Some hundred steps from a checkpoint that knows similar images, as here, are a start; go on as long as the
# validation figure rises, and give it more *different* pictures before more steps.
#
# *The published data sets*, as they were unpacked, with the paper's settings (weights of the encoders are published
# too; without them a network starts at random):
#
# ```
# fctl data check DeepGlobe/
# fctl data convert DeepGlobe/ DeepGlobe_zarr/          # optional: crops are read faster
# fctl train deepglobe/fctl_vgg16 --data DeepGlobe/ --set encoder_weights=/weights/vgg16.pth
# fctl train inria/fctl_mit_b2 --data Inria/ --set encoder_weights=/weights/mit_b2.bin
# fctl train deepglobe/fctl_vgg16 --data DeepGlobe/ --set 'stages=[]' --set epochs=5     # end to end, shorter
# ```
#
# *Less memory*: `--set run.gradient_checkpointing=true`, or smaller batches with as many more passes in a step
# (`--set batch=1 --set accumulate=6`).
#
# *Several GPUs or machines*, the same training up to the order of sums:
#
# ```
# torchrun --nproc_per_node 4 -m fctl_napari.cli train deepglobe/fctl_vgg16 --data DeepGlobe/ \
#     --set encoder_weights=/weights/vgg16.pth
# ```
#
# *Baselines* of the paper's Table 1 in the same harness: `preset = "pspnet"` (`fcn8s`, `segnet`, `unet`,
# `deeplabv3plus`, `icnet`, `segformer_b0`, `segformer_b2`, `segformer_b5`, `glnet`) in a TOML file such as the one
# above, without its settings of contexts; `inference = "global"` under `[network]` shows a network the whole image,
# scaled down, instead of tiles. `fctl model table` says what each costs on your machine.
#
# *What do contexts bring on this data?* `fctl ablate run 3 --recipe land.toml --data DIR --seeds 3`, then `fctl ablate
# report`: the rows of the paper's Table 3, each with the same budget.
