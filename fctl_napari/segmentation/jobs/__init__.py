"""Runs in worker processes."""
