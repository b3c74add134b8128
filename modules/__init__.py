"""The built-in modules, in one table of import paths: listing them imports none of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from attn_bench import register

if TYPE_CHECKING:
    from attn_bench.catalog.registry import Extents
    from attn_bench.model.case import Scalar

EVEN: Extents = (2, 4, 6, 8, 16, "global")
GE, TIMM = "gather_excite", "timm_layers:timm_attention"
GE_PAPER, ECA_PAPER, GC_PAPER = "arXiv:1810.12348", "arXiv:1910.03151", "arXiv:1904.11492"
BAM_PAPER, COORD_PAPER, DANET_PAPER = "arXiv:1807.06514", "arXiv:2103.02907", "arXiv:1809.02983"
ELA_PAPER, POLARIZED_PAPER, SK_PAPER = "arXiv:2403.01123", "arXiv:2107.00782", "arXiv:1903.06586"

# Name, import path, extents, paper, summary. A row has a paper if the module was published on
# arXiv. timm's own variants of published modules have none.
TABLE: tuple[tuple[str, str, Extents | None, str | None, str], ...] = (
    (
        "identity",
        "identity:Identity",
        None,
        None,
        "a copy of the input: the minimum that every module costs",
    ),
    ("none", "identity:Nothing", None, None, "the input itself: a network without its attention"),
    ("probe", "probe:Probe", None, None, "a known amount of work, to measure the tool itself"),
    ("ge_theta_minus", f"{GE}:ge_theta_minus", "any", GE_PAPER, "GE-θ⁻: mean, no parameters"),
    ("ge_theta", f"{GE}:ge_theta", "power_of_two", GE_PAPER, "GE-θ: depthwise convolutions"),
    ("ge_theta_plus", f"{GE}:ge_theta_plus", "power_of_two", GE_PAPER, "GE-θ⁺: GE-θ, then an MLP"),
    ("ge_reference", f"{GE}:ge_reference", "any", GE_PAPER, "GE-θ⁻ by PyTorch's operators only"),
    ("ge_listing", f"{GE}:ge_listing", EVEN, GE_PAPER, "GE-θ⁻ in timm's own code"),
    ("se", "references:se", None, "arXiv:1709.01507", "Squeeze-and-Excitation, ratio 16, biases"),
    ("cbam", "references:cbam", None, "arXiv:1807.06521", "CBAM: channel, then spatial, ratio 16"),
    ("bam", "bam:BAM", None, BAM_PAPER, "BAM, authors' code: channel times spatial, ratio 16"),
    ("bam_paper", "bam:PaperBAM", None, BAM_PAPER, "BAM, paper: channel plus spatial, ratio 16"),
    ("gc", "references:gc", None, GC_PAPER, "GCNet's block: context added, ratio 16"),
    (
        "simam",
        "simam:SimAM",
        None,
        None,
        "SimAM (ICML 2021): by distance from the mean, no parameters",
    ),
    ("triplet", "triplet:TripletAttention", None, "arXiv:2010.03045", "triplet attention, 7×7"),
    ("a2", "double_attention:DoubleAttention", None, "arXiv:1810.11579", "A²: double attention"),
    ("cot", "cot:ContextualTransformer", None, "arXiv:2107.12292", "contextual transformer, 3×3"),
    (
        "danet_channel",
        "danet:ChannelAttention",
        None,
        DANET_PAPER,
        "DANet: channels attend to channels",
    ),
    (
        "danet_position",
        "danet:PositionAttention",
        None,
        DANET_PAPER,
        "DANet: positions attend to positions",
    ),
    ("ema", "ema:EfficientMultiScale", None, "arXiv:2305.13563", "EMA: two scales, 32 groups"),
    ("fca", "fcanet:FrequencyChannelAttention", None, "arXiv:2012.11879", "FcaNet: SE on a DCT"),
    ("gam", "gam:GlobalAttention", None, "arXiv:2112.05561", "GAM: MLP, then 7×7, ratio 16"),
    (
        "polarized_parallel",
        "polarized:PolarizedParallel",
        None,
        POLARIZED_PAPER,
        "polarized self-attention, parallel",
    ),
    (
        "polarized_sequential",
        "polarized:PolarizedSequential",
        None,
        POLARIZED_PAPER,
        "polarized self-attention, sequential",
    ),
    ("sge", "sge:SpatialGroupEnhance", None, "arXiv:1905.09646", "SGE: by likeness to the mean"),
    ("shuffle", "shuffle:ShuffleAttention", None, "arXiv:2102.00240", "shuffle attention (SA)"),
    ("srm", "srm:StyleRecalibration", None, "arXiv:1903.10829", "SRM: by mean and deviation"),
    ("sse", "sse:SkipSqueezeExcitation", None, "arXiv:2110.07641", "ParNet's SSE: a gated norm"),
    ("coord", "references:coord", None, COORD_PAPER, "coordinate attention, ratio 32, biases"),
    ("cpca", "cpca:CPCA", None, "arXiv:2306.05196", "CPCA: channels, then depthwise strips"),
    (
        "criss_cross",
        "criss_cross:CrissCrossAttention",
        None,
        "arXiv:1811.11721",
        "criss-cross attention: over the row and the column",
    ),
    ("eca", "eca:ECA", None, ECA_PAPER, "ECA: 1-d convolution across channels, the paper's kernel"),
    ("ela", "ela:ELA", None, ELA_PAPER, "ELA-B: shared 1-d convolutions of rows and of columns"),
    ("gct", "gct:GCT", None, "arXiv:1909.11519", "gated channel transformation: norms of channels"),
    ("lka", "lka:LKA", None, "arXiv:2202.09741", "large-kernel attention, 21×21, as in VAN"),
    ("lska", "lska:LSKA", None, "arXiv:2309.01439", "LSKA: large-kernel attention by strips, 23"),
    ("mca", "mca:MCA", None, None, "MCA (2023): gates along C, H and W, mean and deviation"),
    ("mlca", "mlca:MLCA", None, None, "MLCA (2023): ECA on 5×5 regions and on the whole map"),
    ("nam", "nam:NAM", None, "arXiv:2111.12419", "NAM: channel and position, by the norms' scales"),
    (
        "pyramid_split",
        "pyramid_split:PyramidSplitAttention",
        None,
        "arXiv:2105.14447",
        "pyramid split attention (EPSANet): four kernels, softmax",
    ),
    ("scsa", "scsa:SCSA", None, "arXiv:2407.05128", "SCSA: strips, then attention of channels"),
    ("sk", "sk:SelectiveKernel", None, SK_PAPER, "selective kernel: 3×3 and 5×5 in 32 groups"),
    (
        "strip_pooling",
        "strip_pooling:StripPooling",
        None,
        "arXiv:2003.13328",
        "strip pooling module (SPNet): means of rows and columns",
    ),
    ("timm/ese", TIMM, None, "arXiv:1911.06667", "effective SE: one 1×1, no reduction"),
    ("timm/eca", TIMM, None, ECA_PAPER, "ECA: 1-d convolution across channels"),
    ("timm/ecam", TIMM, None, None, "ECA with two convolutions, timm's experiment"),
    ("timm/ceca", TIMM, None, None, "ECA with circular padding"),
    ("timm/ge", TIMM, None, GE_PAPER, "timm's GatherExcite; not buildable from timm 1.0.21 on"),
    ("timm/gc", TIMM, None, GC_PAPER, "global context, fused by multiplication"),
    ("timm/gca", TIMM, None, GC_PAPER, "global context, fused by addition: GCNet's form"),
    ("timm/lcbam", TIMM, None, None, "CBAM on the average of mean and maximum, timm's"),
    ("timm/coord", TIMM, None, COORD_PAPER, "coordinate attention"),
    ("timm/scoord", TIMM, None, None, "coordinate attention simplified, timm's"),
    ("timm/ela", TIMM, None, ELA_PAPER, "ELA: 1-d convolutions along rows and columns"),
    ("timm/strip", TIMM, None, None, "strip pooling with 1-d depthwise convolutions, timm's"),
    ("timm/sk", TIMM, None, SK_PAPER, "selective kernel: a convolution with attention"),
    ("timm/splat", TIMM, None, "arXiv:2004.08955", "split attention: a convolution with attention"),
    ("timm/lambda", TIMM, None, "arXiv:2102.08602", "lambda layer with a local context of 9×9"),
    ("timm/bottleneck", TIMM, None, "arXiv:2101.11605", "BoTNet's self-attention over the map"),
    ("timm/halo", TIMM, None, "arXiv:2103.12731", "self-attention in 8×8 blocks with a halo"),
    ("timm/nl", TIMM, None, "arXiv:1711.07971", "non-local block"),
    ("timm/bat", TIMM, None, None, "non-local block, grouped bilinear transforms (CVPR 2020)"),
)


# The formula that `verify` compares a module with: file in `formulas` and function. ge_reference
# and ge_listing are other implementations of GE-θ⁻.
FORMULAS: Mapping[str, str] = {
    **{name: f"basic:{name}" for name in ("identity", "probe")},
    **{name: f"squeeze:{name}" for name in ("se", "gc", "eca")},
    **{name: f"{name}:{name}" for name in ("cbam", "coord", "triplet", "simam")},
    **{name: f"{GE}:{name}" for name in ("ge_theta_minus", "ge_theta", "ge_theta_plus")},
    **dict.fromkeys(("ge_reference", "ge_listing"), f"{GE}:ge_theta_minus"),
    "a2": "double_attention:a2",
    "cot": "cot:cot",
    "danet_channel": "danet:channel",
    "danet_position": "danet:position",
    "ema": "ema:ema",
    "fca": "fcanet:fca",
    "gam": "gam:gam",
    "polarized_parallel": "polarized:parallel",
    "polarized_sequential": "polarized:sequential",
    "sge": "sge:sge",
    "shuffle": "shuffle:shuffle",
    "srm": "srm:srm",
    "sse": "sse:sse",
    **{name: f"{name}:{name}" for name in ("bam", "cpca", "criss_cross", "ela", "gct")},
    **{name: f"{name}:{name}" for name in ("lka", "lska", "mca", "mlca", "nam", "pyramid_split")},
    **{name: f"{name}:{name}" for name in ("scsa", "sk", "strip_pooling")},
    "bam_paper": "bam:bam_paper",
    "timm/eca": "squeeze:eca",
    "timm/ge": f"{GE}:gather_excite",
}

# Arguments of GatherExcite, timm's and ours, each set of which makes a different module.
GE_PROBES: Sequence[Mapping[str, Scalar]] = (
    {"use_mlp": False},
    {"use_mlp": False, "extent": 4},
    {"extent": 4},
    {"extra_params": True},
    {"extra_params": True, "use_mlp": False},
    {"extra_params": True, "extent": 4},
    {"extra_params": True, "use_mlp": False, "extent": 8},
)
GE_REFUSES: Sequence[Mapping[str, Scalar]] = tuple(
    {"extra_params": True, "use_mlp": False, "extent": extent} for extent in (6, 10, 12)
)

# Arguments that make a different module, and arguments that must be refused, by module. With the
# 64 channels of `verify`, the papers' groups have one channel each.
PROBES: Mapping[str, Sequence[Mapping[str, Scalar]]] = {
    "cot": ({"kernel_size": 5},),
    "criss_cross": ({"passes": 2},),
    "eca": ({"kernel_size": 5},),
    "ela": ({"kernel_size": 5, "norm_groups": 32}, {"kernel_size": 5, "group_width": 8}),
    "ema": ({"groups": 8},),
    "lka": ({"kernel_size": 33},),
    "lska": ({"kernel_size": 11, "dilation": 2}, {"kernel_size": 35}),
    "nam": ({"spatial": False},),
    "pyramid_split": ({"groups": 1},),
    "sge": ({"groups": 8},),
    "shuffle": ({"groups": 4},),
    "timm/ge": GE_PROBES,
}
REFUSES: Mapping[str, Sequence[Mapping[str, Scalar]]] = {
    **dict.fromkeys(("ema", "sge", "shuffle"), ({"groups": 5},)),
    **dict.fromkeys(("lka", "lska"), ({"kernel_size": 24},)),
    "eca": ({"kernel_size": 4},),
    "ela": ({"norm_groups": 48},),
    "pyramid_split": ({"groups": 32},),
    "sk": ({"groups": 48},),
    "timm/ge": GE_REFUSES,
}


def register_all() -> None:
    """Register every row of the table with `attn_bench.register`, and import none of them."""
    for name, target, extents, paper, summary in TABLE:
        arguments = {"attn_type": name.removeprefix("timm/")} if target == TIMM else None
        formula = f"{__name__}.formulas.{FORMULAS[name]}" if name in FORMULAS else None
        register(
            name,
            extents=extents,
            paper=paper,
            summary=summary,
            arguments=arguments,
            reference=formula,
            probes=PROBES.get(name, ()),
            refuses=REFUSES.get(name, ()),
        )(f"{__name__}.{target}")
