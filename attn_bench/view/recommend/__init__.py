"""A recommendation for people and programs: its table, its sentences, its JSON."""
