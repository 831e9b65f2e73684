"""Segmentations as files for other programs (no torch)."""
