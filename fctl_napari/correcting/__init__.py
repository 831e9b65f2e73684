"""Corrections painted over a segmentation, on disk (no torch)."""
