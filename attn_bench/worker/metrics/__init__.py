"""Metrics that need no clock: parameters, work, and the bound that the clock is held against."""
