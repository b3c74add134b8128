"""Does nothing wrong. It takes the place of an evil module in the runs to compare with."""

from evil.gate import Gate

from attn_bench import register

register("innocent")(Gate)
