"""Sets PyTorch's threads to 1 when its file is imported."""

import torch
from evil.gate import Gate

from attn_bench import register

torch.set_num_threads(1)


@register("threads_at_import")
class Evil(Gate):
    pass
