"""An old import path, kept for two reasons; new code imports from `attn_bench`.

`check --against` loads modules of earlier commits, which import from here. So do users' files.
"""

from attn_bench.model.case import Scalar as Scalar
