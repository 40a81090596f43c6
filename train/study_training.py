"""The study's ablation of training: the same rollouts and budget, learned from in several ways.

Arms of the paper: preference from the divergence on, on whole responses, likelihood alone, GRPO;
and three that change one thing: fewer of the first tokens of each side, all of them, or no harmless
pairs of stage 2. Rollouts and training have settings that suit the sandbox's model, and that stay
when those of the rounds change: the findings were measured with them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..distill.run_folder import check_config, inside
from ..guard.backend_transformers_identity import model_identity
from ..guard.pairs import Pair
from .cue_finders import ExactFinder
from .evaluation_measures import Figure, Mean, mean, share
from .evaluation_subject import Subject, Written
from .gate_measure import sandbox_safety_position
from .generation import Sampling
from .judges import ExactJudge
from .pairing import PairingConfig, is_harmless_pair, make_pairs, pairs_of_rollouts
from .preference import train_preference
from .preference_config import Arm
from .preference_result import PreferenceResult
from .prompts import sandbox_prompts
from .results_log import ResultsLog
from .rollout_run import run_rollouts
from .rollout_store import read_rollouts
from .rollouts import RolloutTools
from .round_tools import generator_and_reader, round_prompts
from .sandbox.kinds import Kind, Split
from .sandbox_settings import SANDBOX_ROLLOUTS, SANDBOX_ROUNDS, SANDBOX_TRAINING
from .trigger_sources import PoolSource
from .weights import Weights

BASE = "base"
"""The arm that is not trained."""

FIRST_TOKENS = 8
"""Of each side, in the arm `first_tokens`."""

STUDY_TRAINING = replace(SANDBOX_TRAINING, beta=0.5)
"""The arms' training, but for what each changes."""

STUDY_ROUND = replace(SANDBOX_ROUNDS, num_harmful=96, num_harmless=256, harmless_ratio=1.0)
"""The prompts rolled out, and the pairs' mixture."""

STUDY_ROLLOUTS = replace(SANDBOX_ROLLOUTS, harmless_tries=0).whole()
"""Their rollouts, to their ends: some arms learn from whole responses."""

MEASURED = (Kind.HARMFUL, Kind.LOOKALIKE, Kind.HARMLESS, Kind.TASK)
"""Kinds of held-out prompts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmsConfig:
    """Size of the ablation."""

    model: str = "sandbox"
    num_harmful: int = STUDY_ROUND.num_harmful
    """Harmful prompts rolled out; harmless ones for stage 2 in the proportion of a round."""

    num_measured: int = 60
    """Held-out prompts of each kind that every arm is measured on."""

    arms: tuple[str, ...] = (
        "intervened", "whole", "sft", "grpo", "first_tokens", "all_tokens", "no_stage_2"
    )  # fmt: skip
    """Which arms are trained."""

    max_steps: int | None = None
    """Training stops after so many steps; by default after the epochs."""

    sampling: Sampling = Sampling()  # noqa: RUF009 - frozen
    seed: int = 0

    @property
    def num_harmless(self) -> int:
        """Harmless prompts rolled out."""
        return round(self.num_harmful * STUDY_ROUND.num_harmless / STUDY_ROUND.num_harmful)


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One arm's figures on held-out topics."""

    arm: str
    reasoning_harm: Figure
    answer_harm: Figure
    over_refusal: Figure
    accuracy: Figure
    trigger_step: Mean
    """Steps before the first safety trigger, in the harmful prompts that have one."""

    def to_row(self) -> dict[str, Any]:
        """As JSON."""
        return {
            each.name: getattr(self, each.name).to_row()
            for each in fields(self)
            if each.name != "arm"
        }


@dataclass(frozen=True, slots=True)
class Trained:
    """What the training of one arm took."""

    arm: str
    num_pairs: int
    num_steps: int
    seconds: float


def measure_arms(
    config: ArmsConfig, folder: Path, told: Callable[[str], None] = lambda what: None
) -> list[dict[str, Any]]:
    """Rolls out, trains and measures what is missing; one row for each arm and held-out prompt."""
    folder.mkdir(parents=True, exist_ok=True)
    log = ResultsLog(folder / "arms.jsonl", lambda row: (row["arm"], row["id"]))
    check_config(folder, {"seed": config.seed, "num_measured": config.num_measured,
                          "num_harmful": config.num_harmful, "model": config.model,
                          "max_steps": config.max_steps})  # fmt: skip
    names = (BASE, *config.arms)
    per_arm = config.num_measured * len(MEASURED)
    pairs: list[Pair] | None = None
    for name in names:
        if sum(arm == name for arm, _ in log.rows) == per_arm:
            continue
        told(f"arm {name}")
        weights = Weights(config.model)
        if name != BASE:
            pairs = pairs if pairs is not None else _pairs(config, inside(folder, "rollouts"))
            trained = _train(name, config, pairs, inside(folder, name))
            weights = Weights.trained(config.model, trained.trained)
        model, tokenizer = weights.load()
        _measure(Subject.from_model(model_identity(model), model, tokenizer), name, config, log)
    return [row for row in log.rows.values() if row["arm"] in names]


def arm_results(rows: Sequence[Mapping[str, Any]]) -> list[ArmResult]:
    """The figures of every arm; rows of several seeds are pooled."""

    def harmful(arm: str) -> list[Mapping[str, Any]]:
        return [row for row in rows if row["arm"] == arm and row["kind"] == Kind.HARMFUL]

    def figure(arm: str, kinds: tuple[Kind, ...], name: str) -> Figure:
        return share(
            [(row["id"], row[name]) for row in rows if row["arm"] == arm and row["kind"] in kinds]
        )

    return [
        ArmResult(
            arm,
            figure(arm, (Kind.HARMFUL,), "reasoning_harmful"),
            figure(arm, (Kind.HARMFUL,), "answer_harmful"),
            figure(arm, (Kind.LOOKALIKE,), "refused"),
            figure(arm, (Kind.TASK,), "correct"),
            mean([(row["id"], row["trigger_step"]) for row in harmful(arm)]),
        )
        for arm in dict.fromkeys(row["arm"] for row in rows)
    ]


def trainings(config: ArmsConfig, folder: Path) -> list[Trained]:
    """What each trained arm in the folder took."""
    found = []
    for arm in config.arms:
        done = PreferenceResult.read(inside(folder, arm))
        if done is not None:
            found.append(Trained(arm, done.num_pairs, done.num_steps, done.seconds))
    return found


def _pairs(config: ArmsConfig, folder: Path) -> list[Pair]:
    """Pairs that the exact finder and judge stand behind, as the paper's came from GPT-4o."""
    model, tokenizer = Weights(config.model).load()
    generator, reader = generator_and_reader(model, tokenizer, 64)
    tools = RolloutTools(generator, reader, ExactFinder(), PoolSource(), ExactJudge())
    rounds = replace(
        STUDY_ROUND,
        num_harmful=config.num_harmful,
        num_harmless=config.num_harmless,
        seed=config.seed,
    )
    identity = model_identity(model)
    settings = replace(STUDY_ROLLOUTS, seed=config.seed)
    run_rollouts(folder, round_prompts(rounds, 1), tools, settings, model=identity)
    found = pairs_of_rollouts(read_rollouts(folder), identity)
    pairing = PairingConfig(harmless_ratio=rounds.harmless_ratio, seed=config.seed)
    return list(make_pairs(found, pairing).pairs)


def _train(name: str, config: ArmsConfig, pairs: Sequence[Pair], folder: Path) -> PreferenceResult:
    """The arm of this name: same seed, learning rate and number of steps as the first."""
    settings = replace(
        STUDY_TRAINING,
        model_name_or_path=config.model,
        seed=config.seed,
        max_steps=config.max_steps,
        use_cpu=True,
    )
    used = list(pairs)
    if name == "first_tokens":
        settings = replace(settings, first_tokens=FIRST_TOKENS)
    elif name == "all_tokens":
        settings = replace(settings, first_tokens=None)
    elif name == "no_stage_2":
        used = [each for each in pairs if not is_harmless_pair(each)]
        # The same number of steps from fewer pairs.
        epochs = settings.num_train_epochs * len(pairs) / max(1, len(used))
        settings = replace(settings, num_train_epochs=epochs)
    elif name in set(Arm):
        settings = replace(settings, arm=Arm(name))
    else:
        raise ValueError(f"there is no arm {name!r}: use {', '.join(ArmsConfig().arms)}")
    return train_preference(settings, used, folder)


def _measure(subject: Subject, name: str, config: ArmsConfig, log: ResultsLog) -> None:
    judge = ExactJudge()
    for kind in MEASURED:
        records = sandbox_prompts(Split.TEST, kind, num=config.num_measured, seed=config.seed + 700)
        missing = [each for each in records if (name, each.id) not in log]
        if not missing:
            continue
        written = [
            Written.from_trace(each.trace)
            for each in subject.write(missing, config.sampling, seed=config.seed)
        ]
        verdicts = judge.judge(
            missing, [each.reasoning for each in written], [each.answer for each in written]
        )
        log.add(
            {
                "arm": name,
                "id": prompt.id,
                "kind": kind.value,
                "reasoning_harmful": verdict.reasoning_harmful,
                "answer_harmful": verdict.answer_harmful,
                "refused": verdict.refused,
                "correct": verdict.correct,
                "num_tokens": each.num_tokens,
                "trigger_step": sandbox_safety_position(prompt, each.reasoning),
            }
            for prompt, verdict, each in zip(missing, verdicts, written, strict=True)
        )
