"""Plugins that run attn-bench inside other programs: pytest."""
