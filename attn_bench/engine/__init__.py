"""One run from start to end: worker processes, rounds, stopping, saving."""
