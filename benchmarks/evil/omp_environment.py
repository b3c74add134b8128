"""Sets OMP_NUM_THREADS in the environment."""

import os

from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("omp_environment")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        os.environ["OMP_NUM_THREADS"] = "1"
