#!/usr/bin/env bash
# napari: Undo in a Labels layer writes into data that was put in after the stroke, and so into a file.
#
# Setting: one Labels layer as a movable window over a large label file, as for images that are too large to be painted
#   whole: a stroke in one crop, then layer.data = the next crop (a view of the same file), then Undo.
# Expected: the history belongs to the array that was painted. With new data Undo does nothing (napari empties the
#   history when a layer is closed to editing), or it takes the stroke back where it was made.
# Seen: Undo puts the old values of the first crop into the second one, at the same offsets, without a word. Here the
#   crops lie in a file on disk: labels that nobody touched are erased in it, and the stroke that was to be undone stays.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check napari==0.9.2 numpy==2.4.6
cd "$folder"
export HOME="$folder" # napari keeps its settings there
venv/bin/python -W ignore - <<'PYTHON'
import napari
import numpy as np
from napari.layers import Labels

print("napari", napari.__version__, "numpy", np.__version__)
file = np.lib.format.open_memmap("labels.npy", mode="w+", dtype=np.uint8, shape=(40, 80))
file[:, 40:] = 2  # the second crop is labelled already

layer = Labels(file[:, :40])
layer.brush_size = 10
layer.paint((20, 20), 3)
layer.data = file[:, 40:]
layer.undo()
file.flush()

saved = np.load("labels.npy")
kept = int((saved[:, :40] == 3).sum())
erased = int((saved[:, 40:] != 2).sum())
print(f"first crop: {kept} px of the stroke are still there; second crop: {erased} px were 2 and are now "
      f"{np.unique(saved[:, 40:][saved[:, 40:] != 2]).tolist()}")
assert kept > 0 and erased == kept, "changed: Undo leaves the new data alone"
PYTHON
