"""Tells which operators cannot contain a convolution or a matrix product.

An operator that nobody counted makes `macs` unknown, except in these cases:

- PyTorch tags it as elementwise or as a reduction, or declares that it returns a view;
- it moves, compares, sorts, draws, pools or normalises elements, or interpolates between them
  (HARMLESS);
- it handles numbers and lists of the trace (BOOKKEEPING).

Everything else may multiply: an operator of another library, an autograd function in Python, a
scripted function, a recurrent layer, and what a later PyTorch adds.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import torch

from attn_bench.worker.counts.traced import ATEN

_HARMLESS: Mapping[str, str] = {  # reason -> operators of PyTorch
    "pooling and interpolation: sums, maxima and weighted means of a few neighbours": (
        "avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d "
        "max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices "
        "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d "
        "adaptive_max_pool2d adaptive_max_pool3d fractional_max_pool2d fractional_max_pool3d "
        "max_unpool2d max_unpool3d grid_sampler grid_sampler_2d grid_sampler_3d "
        "upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d "
        "upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d"
    ),
    "norms and activations that are not tagged": (
        "batch_norm group_norm layer_norm instance_norm rms_norm softmax "
        "log_softmax prelu glu norm frobenius_norm nuclear_norm linalg_vector_norm renorm dist "
        "pairwise_distance cosine_similarity hardswish relu6 selu logit logcumsumexp"
    ),
    "sums, products and orders along a dimension": (
        "sum mean var std var_mean std_mean max min median nanmedian mode kthvalue aminmax "
        "norm cumsum cumprod cummax cummin diff trace topk sort argsort msort bincount "
        "histc searchsorted bucketize quantile nanquantile count_nonzero"
    ),
    "copies and moves": (
        "clone copy pad constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d "
        "replication_pad1d replication_pad2d replication_pad3d im2col col2im cat stack hstack "
        "vstack dstack tile repeat repeat_interleave roll flip fliplr flipud rot90 gather take "
        "take_along_dim index index_select index_add index_copy index_fill index_put "
        "masked_select masked_scatter scatter scatter_add scatter_reduce embedding one_hot "
        "tril triu pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle diag "
        "diag_embed meshgrid nonzero argwhere where block_diag combinations cartesian_prod"
    ),
    "constants, randomness and facts": (
        "zeros ones full empty eye arange linspace logspace zeros_like ones_like full_like "
        "empty_like new_zeros new_ones new_full new_empty scalar_tensor tensor rand randn "
        "randint randperm rand_like randn_like randint_like bernoulli normal uniform "
        "multinomial dropout feature_dropout alpha_dropout feature_alpha_dropout "
        "native_dropout size numel dim item is_nonzero equal allclose is_floating_point "
        "is_complex Int Float Bool ScalarImplicit IntImplicit FloatImplicit lift_fresh alias "
        "triu_indices tril_indices cross"
    ),
}
HARMLESS = frozenset(name for names in _HARMLESS.values() for name in names.split())
_BOOKKEEPING = (
    "Constant ListConstruct ListUnpack TupleConstruct TupleUnpack TupleIndex DictConstruct "
    "NumToTensor ImplicitTensorToNum Uninitialized unchecked_cast device dtype layout shape data "
    "is_cuda max min GetAttr AutogradZero RaiseException"
)
BOOKKEEPING = frozenset(_BOOKKEEPING.split())
TAGS = {"pointwise", "reduction"}  # of torch.Tag; an older torch lacks the second


@cache
def may_multiply(kind: str) -> bool:
    """Whether an operator of a trace may contain a convolution or a matrix product.

    >>> [may_multiply(f"aten::{name}") for name in ("cos", "cumsum", "permute", "lstm")]
    [False, False, False, True]
    >>> may_multiply("prim::ListConstruct"), may_multiply("prim::PythonOp"), may_multiply("my::op")
    (False, True, True)
    """
    namespace, _, name = kind.partition("::")
    if namespace == "prim":
        return name not in BOOKKEEPING
    if f"{namespace}::" != ATEN:
        return True
    plain = name.removesuffix("_")
    if plain in HARMLESS:
        return False
    overloads = _overloads(plain)
    return not overloads or not all(_is_tagged(one) or _returns_view(one) for one in overloads)


@cache
def is_view(kind: str) -> bool:
    """Whether an operator of a trace only views its input: it is not arithmetic at all.

    >>> is_view("aten::mT"), is_view("aten::roll")
    (True, False)
    """
    overloads = _overloads(kind.removeprefix(ATEN)) if kind.startswith(ATEN) else []
    return bool(overloads) and all(map(_returns_view, overloads))


def _overloads(name: str) -> list[torch._ops.OpOverload]:
    """The overloads of an operator of PyTorch that return a tensor, and not into `out`.

    The others are of TorchScript's own numbers and have no tags.
    """
    packet = getattr(torch.ops.aten, name, None)
    names = [] if packet is None else packet.overloads()
    found = [getattr(packet, one) for one in names if one.rpartition("_")[2] != "out"]
    return [one for one in found if any("Tensor" in str(r.type) for r in one._schema.returns)]


def _is_tagged(overload: torch._ops.OpOverload) -> bool:
    return bool({tag.name for tag in overload.tags} & TAGS)


def _returns_view(overload: torch._ops.OpOverload) -> bool:
    returned = overload._schema.returns
    return bool(returned) and all(
        one.alias_info is not None and not one.alias_info.is_write for one in returned
    )
