"""Tile grids, and the plan and progress of a run over them (no torch)."""
