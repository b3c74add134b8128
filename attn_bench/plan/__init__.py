"""Turns a TOML file and a request into a suite, its cases and their order."""
