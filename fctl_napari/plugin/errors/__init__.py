"""The Errors widget."""
