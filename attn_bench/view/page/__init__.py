"""One self-contained HTML page of a run, and its figures."""
