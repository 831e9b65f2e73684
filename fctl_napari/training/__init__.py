"""Training on data sets: settings, data, losses, schedule, resuming."""
