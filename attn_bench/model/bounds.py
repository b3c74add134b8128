"""The bounds of what a user, a suite or a stored run may ask for: one home for each.

Each is a type. Pydantic checks it where a file is read, and `model/request.py` where an option is.
"""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Le, MaxLen

# Worker processes. Each of them loads torch.
Sessions = Annotated[int, Ge(1), Le(100)]
Threads = Annotated[int, Ge(1), Le(1024)]
Seconds = Annotated[float, Gt(0), Le(1e7)]
Lease = Annotated[float, Ge(0.1), Le(1e6)]  # in seconds
# A half-width of an interval as a share of the value.
Precision = Annotated[float, Gt(0), Le(1)]
LEAST_MEMORY_GIB = 0.25  # of a worker; in less, torch alone does not fit
MemoryGib = Annotated[float, Ge(LEAST_MEMORY_GIB), Le(1e6)]
# A side, a number of channels or of images.
Size = Annotated[int, Ge(1), Le(10**9)]
# Indices and counters of a run: sessions, rounds, positions, calls.
Index = Annotated[int, Ge(0), Le(10**9)]
Calls = Annotated[int, Ge(1), Le(10**9)]
Time = Annotated[float, Ge(0), Le(1e9)]  # measured, in seconds
Factor = Annotated[float, Gt(0), Le(1e18)]  # a ratio, or a rate by the second
Number = Annotated[int, Ge(0), Le(2**63 - 1)]  # of bytes, operations, elements
Amount = Annotated[float, Ge(0), Le(1e9)]  # cores, loads, shares
Change = Annotated[float, Ge(-1), Le(1e9)]  # a growth as a fraction
Title = Annotated[str, MaxLen(200)]
# A fact of a device, as its driver reports it.
Fact = str | bool | Annotated[int, Ge(-(2**63)), Le(2**63)] | Annotated[float, Le(1e18)] | None

MOST_ELEMENTS = 2**40  # of an input
# Of a file that is read: more is not a run's.
MOST_BYTES = 2**30
MOST_CASES = 20_000
MOST_BLOCKS = 2_000_000
LONGEST_TEXT = 10_000
DEEPEST = 30  # levels of nested JSON
