"""Metrics, errors and their regions, and what a network costs."""
