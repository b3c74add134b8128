"""The devices that cases run on, one file each; `base` has the interface and opens one by name."""
