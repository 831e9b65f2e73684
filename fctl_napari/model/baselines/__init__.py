"""Baselines of Table 1, each written from its paper."""
