"""Segmentation of images: tiling, inference, results on disk, runs in worker processes."""
