"""Image to classes: tile grids, predictor, segmentation store, jobs."""
