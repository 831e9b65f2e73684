"""Pretraining of networks on images without ground truth."""
