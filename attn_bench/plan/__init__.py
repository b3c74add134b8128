"""From a TOML file and a request to a suite, its cases and their order."""
