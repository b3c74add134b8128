"""Run folders and their files: everything that is written and read back."""
