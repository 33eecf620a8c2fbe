"""The assistant, and the ways to reach it: HTTP, terminal, web page."""
