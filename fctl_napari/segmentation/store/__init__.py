"""A segmentation on disk, and the image that it is of (no torch)."""
