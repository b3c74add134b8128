"""The version of the package, which its output files also contain."""

__version__ = "0.1.0"
