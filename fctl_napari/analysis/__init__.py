"""Metrics, errors, explanations and figures."""
