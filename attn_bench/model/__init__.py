"""The vocabulary: frozen values, tables of facts, units, errors; imports no other room."""
