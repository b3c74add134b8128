"""Compares a foreign class with a paper's formula, whatever the names of its parameters."""
