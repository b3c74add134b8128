"""What the evil modules with busy processes share."""

import os
import signal

LONGEST_S = 45


def spin(of: int) -> None:
    """Spin until the process `of` has ended, at most LONGEST_S; never returns."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LONGEST_S)
    while True:
        try:
            os.kill(of, 0)
        except OSError:
            os._exit(0)
        sum(range(100_000))
