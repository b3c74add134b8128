"""Run folders and files: what is written, and what is read back."""
