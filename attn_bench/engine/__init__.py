"""Runs a plan from start to end: worker processes, rounds, stopping, saving."""
