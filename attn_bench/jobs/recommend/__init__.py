"""The job of `recommend`: candidates, limits, stored figures, a choice."""
