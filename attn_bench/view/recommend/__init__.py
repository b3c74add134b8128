"""A recommendation as people and programs read it: its table, its sentences, its JSON."""
