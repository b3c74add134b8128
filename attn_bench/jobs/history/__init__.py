"""The history of stored runs: figures over commits, and where they changed."""
