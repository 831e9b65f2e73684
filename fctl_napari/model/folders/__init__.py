"""Folders of networks as Hugging Face's libraries keep them: read without running anything from them, and written."""
