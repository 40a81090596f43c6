"""The passes in which the shipped student's encoder was fitted: what each reads of which file.

A share is of a file's requests or traces, 0..1, by the file's stem; a file that is not named is
read whole. They were set by what the pass before still missed, so they follow no rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over a sample of everything."""

    learning_rate: float
    """Of the encoder's upper half."""

    requests: Mapping[str, float] = field(default_factory=dict)
    """Share of the requests, by file; all of those not named."""

    traces: Mapping[str, float] = field(default_factory=dict)
    """Share of the traces, by file."""

    opener_share: float = 0.0
    """See `DistillConfig`."""

    head_learning_rate: float = 1e-3


_FEW = {
    "gsm8k_test": 0.08,
    "math500": 0.2,
    "star1_r1_safe": 0.1,
    "sandbox_requests": 0.2,
    "sandbox_world": 0.1,
}
_NARROW = {
    "advbench_r1_llama_8b": 0.05,
    "star1_r1_safe": 0.02,
    "essays_benign": 0.02,
    "sandbox_world": 0.1,
    "sandbox_written": 0.1,
}
_MOST = {
    "gsm8k_test": 0.02,
    "math500": 0.03,
    "star1_r1_safe": 0.1,
    "advbench_r1_llama_8b": 0.2,
    "authored": 0.3,
    "traces_a": 0.3,
    "traces_b": 0.3,
    "traces_c": 0.3,
    "harmfulqa": 0.1,
    "catqa_english": 0.2,
    "do_not_answer": 0.2,
    "or_bench": 0.4,
    "requests": 0.2,
    "requests_b": 0.1,
    "requests_c": 0.8,
    "sandbox_requests": 0.6,
    "sandbox_world": 0.25,
}
_WIDE = {
    "authored": 0.06,
    "traces_a": 0.1,
    "traces_b": 0.1,
    "traces_c": 0.1,
    "advbench_r1_llama_8b": 0.05,
    "star1_r1_safe": 0.03,
    "essays_benign": 0.02,
    "sandbox_world": 0.22,
    "sandbox_written": 0.1,
}
_COMPOSED = {
    "gsm8k_test": 0.03,
    "math500": 0.05,
    "star1_r1_safe": 0.1,
    "advbench_r1_llama_8b": 0.2,
    "authored": 0.3,
    "traces_a": 0.3,
    "traces_b": 0.3,
    "traces_c": 0.3,
    "harmfulqa": 0.1,
    "catqa_english": 0.2,
    "do_not_answer": 0.25,
    "or_bench": 0.35,
    "requests": 0.3,
    "requests_b": 0.3,
    "requests_c": 0.5,
    "sandbox_requests": 0.85,
    "sandbox_world": 0.1,
    "sandbox_written": 0.1,
}
_REHEARSED = {
    "authored": 0.15,
    "traces_a": 0.2,
    "traces_b": 0.2,
    "traces_c": 0.2,
    "advbench_r1_llama_8b": 0.08,
    "star1_r1_safe": 0.04,
    "essays_benign": 0.03,
    "sandbox_world": 0.1,
    "sandbox_written": 0.25,
}
_STEADY = {
    "gsm8k_test": 0.03,
    "math500": 0.05,
    "star1_r1_safe": 0.1,
    "advbench_r1_llama_8b": 0.2,
    "harmfulqa": 0.1,
    "catqa_english": 0.15,
    "do_not_answer": 0.2,
    "or_bench": 0.3,
    "requests": 0.3,
    "requests_b": 0.3,
    "requests_c": 0.4,
    "sandbox_requests": 0.12,
    "sandbox_world": 0.1,
    "sandbox_written": 0.1,
}
_STEPS = {
    "authored": 0.5,
    "traces_a": 0.6,
    "traces_b": 0.6,
    "traces_c": 0.6,
    "advbench_r1_llama_8b": 0.4,
    "star1_r1_safe": 0.15,
    "essays_benign": 0.03,
    "sandbox_world": 0.45,
    "sandbox_written": 0.8,
}
PASSES: tuple[Pass, ...] = (
    Pass(1e-4, requests={"requests": 0.0, "requests_b": 0.0}),
    Pass(1e-4, requests=_FEW | {"harmfulqa": 0.5, "catqa_english": 0.7}, traces=_NARROW | {
        "authored": 0.2}, opener_share=0.22),
    Pass(8e-5, requests=_FEW | {"harmfulqa": 0.2, "catqa_english": 0.4, "do_not_answer": 0.3,
        "requests": 0.6}, traces=_NARROW | {"authored": 0.2, "traces_a": 0.45, "traces_b": 0.45},
        opener_share=0.15),
    Pass(8e-5, requests=_FEW | {"harmfulqa": 0.25, "catqa_english": 0.5, "do_not_answer": 0.4},
        traces=_NARROW | {"authored": 0.1, "traces_a": 0.1, "traces_b": 0.15, "traces_c": 0.5},
        opener_share=0.1),
    Pass(7e-5, requests=_FEW | {"harmfulqa": 0.3, "catqa_english": 0.6, "do_not_answer": 0.4,
        "requests": 0.6}, traces=_NARROW | {"authored": 0.15, "traces_a": 0.1, "traces_b": 0.25,
        "traces_c": 0.3}, opener_share=0.12),
    Pass(7e-5, requests=_FEW | {"harmfulqa": 0.1, "catqa_english": 0.2, "do_not_answer": 0.15,
        "or_bench": 0.4, "requests": 0.25, "requests_b": 0.3}, traces=_NARROW | {"authored": 0.08,
        "traces_a": 0.08, "traces_b": 0.15, "traces_c": 0.2}, opener_share=0.1),
    Pass(1e-4, requests=_MOST, traces=_WIDE, opener_share=0.05, head_learning_rate=3e-4),
    Pass(1.5e-4, requests=_COMPOSED, traces=_REHEARSED, opener_share=0.05,
        head_learning_rate=3e-4),
    Pass(1e-4, requests=_STEADY, traces=_STEPS, opener_share=0.05, head_learning_rate=3e-4),
    Pass(1e-4, requests=_STEADY | {"requests": 0.6, "requests_b": 0.6, "requests_c": 0.6,
        "catqa_english": 0.4, "do_not_answer": 0.4, "or_bench": 0.5},
        traces=_STEPS | {"star1_r1_safe": 0.8, "sandbox_world": 0.3, "sandbox_written": 0.6},
        opener_share=0.12, head_learning_rate=3e-4),
)  # fmt: skip
"""The passes of the shipped student, in order. The first six were made for a smaller corpus; the
seventh reads further twins and the sandbox's traces and answers; the eighth mostly the sandbox's
requests, whose harm lies in how their parts go together, and a little of all the others again; the
ninth mostly steps; the tenth more deliberately safe traces, and openings that only weigh."""
