"""The job of `check` and `compare`: two versions or a stored baseline, and the findings."""
