"""`verify FILE.py:CLASS --as NAME` on the console: the verdict, the reasons, the mapping."""

from __future__ import annotations

from attn_bench.jobs.foreign import ForeignAnswer
from attn_bench.view.console.plain import line, width_of

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
    pairs = dict(map(_layers, compared.mapping.items()))
    if pairs:
        line("")
        width = max(map(width_of, pairs))
        for theirs, ours in pairs.items():
            line(f"    {theirs}{' ' * (width - width_of(theirs))} = {ours}")


def _layers(pair: tuple[str, str]) -> tuple[str, str]:
    """The names of the layers, if the parts of both have the same name; else those of the parts."""
    (theirs, dot, part), (ours, _, our_part) = (name.rpartition(".") for name in pair)
    return (theirs, ours) if dot and part == our_part else pair
