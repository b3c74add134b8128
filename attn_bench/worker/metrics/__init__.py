"""The exact metrics of a case: each file has a `measure`, whose keys are fields of `Facts`."""
