"""From numbers to estimates, intervals, verdicts and rows; pure functions, each formula cited."""
