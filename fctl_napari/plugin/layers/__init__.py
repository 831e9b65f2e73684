"""Pyramids, segmentations and regions as napari layers."""
