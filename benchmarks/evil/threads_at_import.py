"""Changes the number of PyTorch's threads when its file is imported."""

import torch
from evil.gate import Gate

from attn_bench import register

torch.set_num_threads(2 if torch.get_num_threads() == 1 else 1)


@register("threads_at_import")
class Evil(Gate):
    pass
