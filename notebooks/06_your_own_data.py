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
# what was learnt, segment what was held out, take it away. Three minutes on two cores, without a GPU and without a
# display: enough to see that everything fits together, not enough for a good network (the end says what real work
# takes). The folder is made here from the bundled scene; put your own path in its place.

# %%
# %matplotlib inline
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import zarr
from PIL import Image

import fctl_napari as fctl

folder = Path(tempfile.mkdtemp())
data = folder / "data"

# %% [markdown]
# ## A folder
# `images/NAME.jpg` with `masks/NAME.png`, and `classes.json` beside them, which says what the colors of the masks
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
scene = fctl.sample(folder)
earth = scene.read()
land_cover = zarr.open_array(folder / "earth.ome.zarr" / "labels" / "truth" / "0", mode="r")[:] - np.uint8(1)
colors = np.zeros((256, 3), np.uint8)
for value, index in ((0, 0), (1, 1), (2, 2), (3, 2), (4, 3)):  # rangeland and agriculture together; 255 is unknown
    colors[value] = classes[index]["color"]

side = 540  # short: 270
height, width = scene.shape
corners = [(y, x) for y in range(0, height - side + 1, side) for x in range(0, width - side + 1, side)]
pieces = {f"earth_{y:04}_{x:04}": np.s_[y : y + side, x : x + side] for y, x in corners}
names = sorted(pieces, key=lambda name: -np.isin(land_cover[pieces[name]], (1, 2, 3, 4)).mean())[:pictures]
for part in ("images", "masks"):
    (data / part).mkdir(parents=True)
for name in names:
    Image.fromarray(earth[pieces[name]]).save(data / f"images/{name}.jpg", quality=92)
    Image.fromarray(colors[land_cover[pieces[name]]]).save(data / f"masks/{name}.png")
(data / "classes.json").write_text(json.dumps({"classes": classes}))
print(*sorted(path.relative_to(data).as_posix() for path in data.rglob("*.*"))[:4], "...", sep="\n")

# %% [markdown]
# Names alone decide who trains, who validates and who tests, the same on every machine; lists decide otherwise.
# **Pictures that show the same ground belong on one side.** Here lists are written: two pictures to test on, two to
# validate on.

# %%
held = pictures // 6
split = {"test": names[1 : 1 + held], "val": names[1 + held : 1 + 2 * held]}
split["train"] = [name for name in names if name not in split["test"] + split["val"]]
for part, chosen in split.items():
    (data / f"{part}.txt").write_text("\n".join(chosen) + "\n")
    print(part, *chosen)

# %% [markdown]
# ## Look it through
# `fctl data check DIR` says what is there and what does not fit, file by file; no pair that cannot be read should be
# found by a training that has run for a day. To see it at work, one mask is saved as JPEG (which changes colors), and
# one image is cut short.

# %%
broken, cut = data / f"masks/{split['train'][0]}.png", data / f"images/{split['train'][1]}.jpg"
kept = {path: path.read_bytes() for path in (broken, cut)}
Image.open(broken).save(broken, format="JPEG")
cut.write_bytes(kept[cut][:5000])


def look_through():
    """Print what `fctl data check data` says."""
    command = [sys.executable, "-m", "fctl_napari.cli", "data", "check", "data"]
    print(subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout)


look_through()

# %% [markdown]
# Mended, it looks like this.

# %%
for path, content in kept.items():
    path.write_bytes(content)
look_through()

# %%
figure, panels = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained")
for name, image_panel, mask_panel in zip(split["train"], panels[::2], panels[1::2], strict=False):
    image_panel.imshow(Image.open(data / f"images/{name}.jpg"))
    image_panel.set_title(name, fontsize="medium")
    mask_panel.imshow(Image.open(data / f"masks/{name}.png"))
for panel in panels:
    panel.set_axis_off()
plt.close(figure)
figure

# %% [markdown]
# ## Train
# A training is a TOML file. This one starts from the built-in `aerial` network, which has never seen the Earth from
# so far, nor these classes: what fits is taken over (encoders, contexts, fusion, most of the decoder), the layers
# that say which class start anew. Contexts are twice the tile, and the whole picture. The encoder's first blocks and
# the contexts' encoders stay as they are; that is faster, and needs less data. The checkpoint shows its card at the
# end, with the figures on the test pictures, which had no say in anything.

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
network = fctl.train(config, data, folder / "run")
network

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
right.set(title=f"mIoU on {len(split['val'])} validation picture(s)", xlabel="step", ylim=(0, 1))
plt.close(figure)
figure

# %% [markdown]
# ## Segment and evaluate
# As any other image with any other checkpoint: `fctl segment IMAGE --checkpoint run/land.safetensors`, `fctl evaluate
# MAP MASK`. The map lies beside its image, where the window finds it, too.

# %%
maps = {}
for name in split["test"]:
    maps[name] = fctl.segment(data / f"images/{name}.jpg", network)
    figures = fctl.evaluate(maps[name], data / f"masks/{name}.png")
    print(figures, *(f"{label} {iou:.3f}" for label, iou in figures.iou.items()), sep="\n  ")

# %%
figures.figure()

# %% [markdown]
# Where it is right, and where it is wrong: *errors* and the truth are layers of the viewer. *Paint* what is wrong, and
# [fine-tuning](02_correct_and_finetune.ipynb) learns from it. In napari: `napari IMAGE`, then *Plugins > FCtL*.

# %%
name, land = next(iter(maps.items()))
fctl.show(land, ground_truth=data / f"masks/{name}.png")

# %% [markdown]
# ## Take it away
# Rasters, polygons, annotations, by the end of the name.

# %%
for end in ("gpkg", "png"):
    written = fctl.export(land, folder / f"{name}.{end}")
    print(written.name, f"{written.stat().st_size:,} bytes")
land.areas().pixels

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
