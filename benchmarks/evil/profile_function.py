"""Sets a profile function, which Python then calls at each call and return."""

import sys

from evil.gate import Gate
from torch import Tensor

from attn_bench import register


def ignore(*_: object) -> None:
    pass


@register("profile_function")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        sys.setprofile(ignore)
