"""The tab Correct."""
