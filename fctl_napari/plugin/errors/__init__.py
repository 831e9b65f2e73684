"""The tab Errors."""
