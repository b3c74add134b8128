"""The jobs of a fleet: `work` on each host, and `merge` of what they measured."""
