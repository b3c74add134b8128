"""The job of `recommend`: candidates, limits, stored figures and the choice."""
