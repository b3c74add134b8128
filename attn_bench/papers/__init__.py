"""The published figures: the data, the comparison with ours, and the gains that papers report."""
