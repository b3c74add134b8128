"""The executions of a module, one file each; `base` has the interface and opens one by name."""
