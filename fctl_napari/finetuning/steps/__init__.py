"""Steps of a fine-tuning: network, loss and optimizer."""
