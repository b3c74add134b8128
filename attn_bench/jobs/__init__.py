"""The decisions of each command: one file or folder a command, without sentences for people."""
