"""Judging of fine-tuned networks: figures before and after, how sure a gain is, and the gate."""
