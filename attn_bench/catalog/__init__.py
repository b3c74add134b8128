"""The modules, backbones and places that a suite may name."""
