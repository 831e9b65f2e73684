"""Training on data sets: settings, data, augmentation, losses, validation and resumable runs."""
