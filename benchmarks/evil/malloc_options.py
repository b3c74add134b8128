"""Makes glibc map fresh pages for each tensor, and give them back."""

import ctypes

from evil.gate import Gate
from torch import Tensor

from attn_bench import register

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc


@register("malloc_options")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 65536)
        libc.mallopt(M_TRIM_THRESHOLD, 65536)
