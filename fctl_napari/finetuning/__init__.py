"""Fine-tuning on corrections, its gate, and the lineage of checkpoints."""
