"""The history of stored runs: their course over commits, and where it changed."""
