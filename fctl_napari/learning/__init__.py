"""Training: data, losses, schedules, provenance."""
