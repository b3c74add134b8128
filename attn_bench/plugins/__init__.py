"""attn-bench inside other programs: pytest."""
