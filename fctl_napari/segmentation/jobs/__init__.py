"""Runs of the network in worker processes."""
