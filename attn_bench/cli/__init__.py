"""The command line: one file a command, which returns an exit status."""
