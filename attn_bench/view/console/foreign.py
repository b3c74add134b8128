"""`verify FILE.py:CLASS --as NAME` on the console: the verdict, the reasons, the mapping."""

from __future__ import annotations

from attn_bench.jobs.foreign import ForeignAnswer
from attn_bench.view.console.plain import line

VERDICTS = {
    "agrees": "agrees",
    "differs": "differs",
    "not_built": "could not be built",
    "not_mapped": "could not be mapped",
}


def show(answer: ForeignAnswer) -> None:
    """Show the verdict first, then each cause once, what the paper leaves open, and the mapping."""
    compared, paper = answer.compared, f" ({answer.paper})" if answer.paper else ""
    what = compared.call or answer.word
    line(f"{what} against {answer.variant.label}{paper}: {VERDICTS[compared.verdict]}")
    if compared.verdict == "differs" and compared.apart is not None:
        line(f"    by {compared.apart:.2g} of the largest value")
    for reason in compared.reasons:
        line(f"    {reason}")
    for remark in compared.remarks:
        line(f"note: {remark}")
    if compared.mapping:
        line("")
        width = max(map(len, compared.mapping))
        for theirs, ours in compared.mapping.items():
            line(f"    {theirs:{width}} = {ours}")
