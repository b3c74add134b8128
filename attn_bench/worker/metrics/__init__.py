"""The exact metrics of a case: each file has a `measure` that returns fields of `Facts`."""
