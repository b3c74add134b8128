"""What each command decides: one file or folder a command, no sentences for people."""
