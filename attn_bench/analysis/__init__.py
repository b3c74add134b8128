"""Pure functions from numbers to estimates, intervals, verdicts and rows; formulas are cited."""
