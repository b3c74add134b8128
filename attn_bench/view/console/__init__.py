"""The output of each command on a terminal or in a pipe."""
