"""Xinglin (杏林): build, align, evaluate and serve Chinese medical LLMs that cite what they say."""

__version__ = "0.1.0"
