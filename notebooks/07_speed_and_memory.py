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
# # What a network costs: speed and memory
#
# Parameters, FLOPs by part, memory and seconds of the presets (the paper's section 4.4.6), then what a whole run adds
# on top: reading, writing, and memory that must not grow with the image. About two minutes on two cores, without a
# GPU; on a GPU the same cells use it. Seconds are of the machine that ran them.

# %%
# %matplotlib inline
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from fctl_napari.evaluation.cost import count_flops, count_parameters, measure_speed
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import sample_files
from fctl_napari.model.presets import preset
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest

# %% [markdown]
# ## By part
# FLOPs of one tile with all its contexts; a multiplication and its addition are two. The encoders of the contexts
# are most of it, which is why tiles that share a context share its features. Correlation, fusion and enhancement, the
# parts that look beyond the tile, cost little in comparison.

# %%
presets = ["fcn8s", "fctl_lite", "fctl_mit_b0", "fctl_vgg16"]  # short: ["fctl_lite"]
flops = {name: count_flops(preset(name)) for name in presets}
parts = list(next(iter(flops.values())))
print(f"{'':>12}", *(f"{part:>9}" for part in parts), "   GFLOPs; parameters, millions")
for name, counted in flops.items():
    millions = count_parameters(preset(name)).live / 1e6
    print(f"{name:>12}", *(f"{counted[part] / 1e9:9.2f}" for part in parts), f"   {millions:8.1f}")

figure, axes = plt.subplots(figsize=(9, 0.6 + 0.5 * len(flops)), layout="constrained")
left = np.zeros(len(flops))
for part in parts:
    share = np.array([counted[part] / sum(counted.values()) for counted in flops.values()])
    axes.barh(list(flops), share, left=left, label=part)
    left += share
axes.set_xlabel("share of the FLOPs of a tile")
axes.legend(ncols=len(parts), loc="lower center", bbox_to_anchor=(0.5, 1))
plt.close(figure)
figure

# %% [markdown]
# ## Seconds and memory of a tile

# %%
for name in presets:
    speed = measure_speed(preset(name), runs=3)
    rate = sum(flops[name].values()) / speed.seconds / 1e9
    print(
        f"{name:>12}: {speed.seconds:6.3f} s a tile ({rate:6.0f} GFLOP/s), {speed.peak_bytes / 1e6:6.0f} MB beyond "
        f"{speed.weight_bytes / 1e6:6.0f} MB of weights ({speed.where})"
    )

# %% [markdown]
# ## A whole run
# The same scene once, and four times as large: time grows with the pixels, memory of the worker does not.

# %%
side = 768  # short: 256
folder = Path(tempfile.mkdtemp())
crop = open_image(sample_files().image).read((250, 2500, 250 + side, 2500 + side))
measured = {}
with Engine() as engine:
    for times in (0, 1, 2):  # the first, a single tile, starts the worker
        pixels = np.tile(crop, (times, times, 1)) if times else crop[:256, :256]
        scene = convert(pyramid_from_array(pixels, name="scene"), folder / f"scene{times}.ome.zarr", chunk=256)
        begun = time.perf_counter()
        end = engine.start(SegmentationRequest(str(scene), str(folder / f"mask{times}.ome.zarr"), "earth")).wait()
        if end.error is not None:
            raise end.error
        measured[times] = time.perf_counter() - begun
        memory = "" if end.memory_bytes is None else f", worker {end.memory_bytes / 1e6:.0f} MB"
        print(f"{pixels.shape[0]:5} px: {end.total:4} tiles in {measured[times]:5.1f} s{memory}")

# %% [markdown]
# `benchmarks/throughput.py`, `memory.py` and `on_demand.py` measure the rest: against a plain loop and MONAI, on large
# images, and in the window; their tables are in [benchmarks/RESULTS.md](../benchmarks/RESULTS.md).
