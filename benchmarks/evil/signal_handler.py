"""Has a timer interrupt the process 2,000 times a second."""

import signal

from evil.gate import Gate
from torch import Tensor

from attn_bench import register


def handle(*_: object) -> None:
    sum(range(5000))


@register("signal_handler")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 1:
            signal.signal(signal.SIGALRM, handle)
            signal.setitimer(signal.ITIMER_REAL, 5e-4, 5e-4)
