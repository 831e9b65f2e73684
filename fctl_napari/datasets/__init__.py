"""Data sets to train on: layouts, splits, checks, reading (no torch)."""
