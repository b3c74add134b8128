"""Changes the working folder."""

import os

from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("working_folder")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        os.chdir("/")
