"""The ways to execute a module, one file each; `base` has the interface and opens one by name."""
