"""Segmentations on disk, and the images that they belong to (no torch)."""
