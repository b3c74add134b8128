"""The job of `check` and `compare`: two versions, a stored baseline, findings."""
