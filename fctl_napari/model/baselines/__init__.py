"""The baselines of Table 1, each written plainly from its paper."""
