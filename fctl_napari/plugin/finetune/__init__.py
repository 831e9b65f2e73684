"""The tab Fine-tune."""
