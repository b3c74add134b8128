"""Plugins that run attn-bench inside other programs: pytest, and the runner of GitHub."""
