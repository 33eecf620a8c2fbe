"""Weights on disk in Hugging Face format → Checkpoint."""
