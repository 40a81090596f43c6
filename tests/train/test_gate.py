"""The gate: what it lets through, what it stops and says, and what it measures."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from fakes import WordDetector
from tiny_models import tiny_model, tiny_tokenizer

from rerail.train.divergence import divergence
from rerail.train.gate import GateLimits, GateVerdict, decide, paired_difference
from rerail.train.gate_figures import GateFigures
from rerail.train.gate_measure import (
    GateProbe,
    measure,
    sandbox_labelled,
    sandbox_safety_position,
    sentences,
)
from rerail.train.generation import Sampling
from rerail.train.judges import Verdict
from rerail.train.prompts import PromptRecord, sandbox_prompts
from rerail.train.sandbox.kinds import Kind


def bits(num_true: int, num: int = 100) -> dict[str, bool | None]:
    return {str(index): index < num_true for index in range(num)}


def figures(harm: float = 0.5, refused: int = 2, solved: int = 90, **others: Any) -> GateFigures:
    return GateFigures(
        reasoning_harm=harm,
        kl=0.05,
        bits={"over_refusal": bits(refused), "utility": bits(solved)} | others,
    )


def test_a_model_that_got_safer_and_nothing_else_is_promoted() -> None:
    verdict = decide(figures(0.9), figures(0.9), figures(0.1), GateLimits())
    assert verdict.promoted and "every limit is kept" in verdict.reason
    assert GateVerdict.from_row(verdict.to_row()) == verdict


@pytest.mark.parametrize(
    ("after", "named"),
    [
        (figures(0.95), "harmful reasoning"),
        (figures(0.1, refused=12), "over-refusal"),
        (figures(0.1, solved=80), "utility lost"),
        (replace(figures(0.1), kl=0.6), "divergence from the base"),
        (figures(0.1, self_detector=bits(40)), "self-detector drift"),
        (figures(0.1, false_interventions=bits(30)), "false interventions"),
    ],
)
def test_each_limit_stops_by_itself_and_is_named(after: GateFigures, named: str) -> None:
    base = figures(0.9, self_detector=bits(80), false_interventions=bits(2))
    verdict = decide(base, base, after, GateLimits())
    assert not verdict.promoted
    assert verdict.reason.startswith(named) and "beyond its limit" in verdict.reason


def test_limits_hold_against_the_run_s_base_and_harm_against_the_round_s_start() -> None:
    """Three rounds of one point each would otherwise cost three points."""
    base, before = figures(0.9, refused=2), figures(0.3, refused=12)
    after = figures(0.2, refused=13)
    assert decide(before, before, after, GateLimits()).promoted
    assert not decide(base, before, after, GateLimits()).promoted
    assert not decide(base, before, figures(0.4), GateLimits()).promoted


@pytest.mark.parametrize(
    ("harm", "refused", "promoted"),
    [
        (0.11, 4, True),  # the harm stays, as far as chance tells, and the refusals are gone
        (0.11, 10, False),  # most of what was too much is still there
        (0.20, 4, False),  # nothing is mended by giving the harm back
    ],
)
def test_a_round_may_mend_what_an_earlier_one_spoiled(
    harm: float, refused: int, promoted: bool
) -> None:
    def of(harm: float, refused: int) -> GateFigures:
        return figures(harm, refused, reasoning_harm=bits(round(100 * harm)))

    base, before = of(0.9, 2), of(0.1, 12)
    assert decide(base, base, before, GateLimits(slack=3.0)).promoted
    verdict = decide(base, before, of(harm, refused), GateLimits(slack=2.0))
    assert verdict.promoted is promoted


def test_a_low_harm_that_stays_is_no_gain_without_a_fault_to_mend() -> None:
    def of(harm: float) -> GateFigures:
        return figures(harm, 2, reasoning_harm=bits(round(100 * harm)))

    assert not decide(of(0.9), of(0.1), of(0.1), GateLimits()).promoted


def test_one_prompt_of_few_is_chance_and_many_are_not() -> None:
    base = GateFigures(
        reasoning_harm=1.0, kl=0.0, bits={"over_refusal": bits(0, 40), "utility": bits(40, 40)}
    )
    one = replace(base, reasoning_harm=0.0, bits=dict(base.bits) | {"over_refusal": bits(1, 40)})
    four = replace(base, reasoning_harm=0.0, bits=dict(base.bits) | {"over_refusal": bits(4, 40)})
    assert decide(base, base, one, GateLimits()).promoted
    assert not decide(base, base, one, GateLimits(slack=0)).promoted
    assert not decide(base, base, four, GateLimits()).promoted


def test_little_harm_need_not_fall_any_further() -> None:
    assert decide(figures(), figures(0.0), figures(0.02), GateLimits()).promoted
    assert not decide(figures(), figures(0.0), figures(0.03), GateLimits()).promoted
    with pytest.raises(ValueError, match="max_kl is -1"):
        GateLimits(max_kl=-1)


def test_what_cannot_be_seen_promotes_nothing() -> None:
    blind = replace(figures(0.1), bits={"utility": bits(90)})
    verdict = decide(figures(0.9), figures(0.9), blind, GateLimits())
    assert not verdict.promoted
    assert verdict.reason == "not measured: over-refusal; give prompts of that kind and a judge"


def test_differences_count_only_prompts_with_two_verdicts() -> None:
    first = {"a": True, "b": False, "c": None, "d": True}
    second: dict[str, bool | None] = {"a": True, "b": True, "c": True, "e": False}
    assert paired_difference(first, second) == (0.5, pytest.approx(0.5 / 2**0.5))
    assert paired_difference({}, second) is None


def test_divergence_is_that_of_the_whole_vocabulary_by_position() -> None:
    base, moved = tiny_model("qwen3"), deepcopy(tiny_model("qwen3"))
    with torch.no_grad():
        moved.model.norm.weight.mul_(1.3)
    sequences = [((5, 6, 7), tuple(range(20, 60))), ((8,), (9, 10))]
    assert divergence(base, base, sequences).mean == pytest.approx(0.0, abs=1e-6)
    found = divergence(base, moved, sequences)
    by_hand = []
    for prompt, own in sequences:
        ids = torch.tensor([[*prompt, *own]])
        with torch.no_grad():
            p, q = (each(ids).logits[0].log_softmax(-1) for each in (base, moved))
        rows = range(len(prompt) - 1, len(prompt) + len(own) - 1)
        by_hand.append([(p[at].exp() * (p[at] - q[at])).sum().item() for at in rows])
    everything = [value for row in by_hand for value in row]
    assert found.mean == pytest.approx(sum(everything) / len(everything), rel=1e-4)
    late = by_hand[0][32:]
    assert found.by_position[1] == pytest.approx(sum(late) / len(late), rel=1e-4)
    assert divergence(base, moved, []).mean is None


class _Judge:
    """Harmful if the request is; refuses every second harmless prompt."""

    name = "fake"

    def judge(
        self, prompts: Sequence[PromptRecord], reasonings: Sequence[str], answers: Sequence[str]
    ) -> list[Verdict]:
        return [
            Verdict(p.harmful, None, index % 2 == 0, p.kind is Kind.TASK)
            for index, p in enumerate(prompts)
        ]


def test_a_model_is_measured_on_every_kind_of_prompt() -> None:
    prompts = tuple(p for kind in Kind for p in sandbox_prompts("test", kind, num=2))
    probe = GateProbe(
        prompts=prompts,
        judge=_Judge(),
        labelled=sandbox_labelled(6, 0),
        detector=WordDetector(at_end=("",)),  # acts at the end of every step
        sampling=Sampling(max_new_tokens=12),
    )
    model, moved, tokenizer = tiny_model("qwen3"), deepcopy(tiny_model("qwen3")), tiny_tokenizer()
    first = measure(probe, model, tokenizer)
    with torch.no_grad():
        moved.model.norm.weight.mul_(1.1)
    second = measure(probe, moved, tokenizer, base=model, base_wrote=first.harmless).figures
    assert (second.reasoning_harm, second.answer_harm, second.utility) == (1.0, None, 1.0)
    assert second.over_refusal == 0.5 and second.kl is not None and second.kl > 0
    assert second.student is not None and second.self_detector is None
    assert second.interventions_per_100 is not None
    assert GateFigures.from_row(second.to_row()) == second
    assert measure(probe, model, tokenizer).figures == first.figures  # seeded


def test_the_first_safe_step_of_a_sandbox_trace() -> None:
    labelled = sandbox_labelled(30, 1)
    found = [
        sandbox_safety_position(each.case.prompt, " ".join(each.case.steps)) for each in labelled
    ]
    assert any(found) and None in found
    assert sentences("I see. Let me think!\nNo") == ("I see.", "Let me think!", "No")
