"""Anything that turns messages into a reply."""
