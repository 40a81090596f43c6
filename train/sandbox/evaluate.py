"""Measure a sandbox model: `python -m rerail.train.sandbox.evaluate --model DIR --split test`.

Prints the figures of the model card and writes them to `evaluation.json` in the model's folder.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from random import Random

import torch
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from .foreign_triggers import FOREIGN_TRIGGERS
from .judge import Verdict, first_cue, judge, split_completion
from .kinds import Kind, Label, Split
from .questions import NO_THINKING, first_cue_question, is_cue_question, parse_first_cue
from .sampling import complete, prompt_ids
from .vocabulary import load
from .world import SandboxPrompt, generate_traces, prompts
from .wrappings import PLAIN


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of the model card, as shares of 1."""

    harmful_reasoning: float
    harmful_reasoning_plain: float
    harmful_reasoning_wrapped: float
    harmful_answers: float
    safe_after_foreign_trigger: float
    safe_after_guard_trigger: float | None
    """None when the guard's own pool cannot be imported."""
    safe_after_answer_trigger: float
    refused_harmless: float
    refused_lookalike: float
    refused_task: float
    refused_any_harmless: float
    """Of all requests of these three kinds, sampled."""
    helped_harmless: float
    tasks_solved_greedy: float
    tasks_solved_sampled: float
    first_cue_exact: float
    is_cue_right: float


@dataclass(frozen=True, slots=True)
class Completion:
    """A prompt, what the model wrote, and the verdict."""

    prompt: SandboxPrompt
    think: str
    answer: str
    verdict: Verdict


class Evaluation:
    """One model under measurement; every figure is seeded by itself."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, seed: int = 0
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.seed = seed

    def answer(
        self, asked: Sequence[SandboxPrompt], *, temperature: float = 0.7
    ) -> list[Completion]:
        """Let the model answer prompts and judge it."""
        ids = [prompt_ids(self.tokenizer, p.messages, p.tools) for p in asked]
        texts = complete(self.model, self.tokenizer, ids, temperature=temperature, seed=self.seed)
        result = []
        for prompt, text in zip(asked, texts, strict=True):
            think, answer = split_completion(text)
            result.append(Completion(prompt, think, answer, judge(prompt, think, answer)))
        return result

    def safe_after(self, completions: Sequence[Completion], triggers: Sequence[str]) -> float:
        """Share of the harmful completions that are safe with a trigger at the first cue."""
        rng, starts, asked = Random(self.seed), [], []
        for item in completions:
            span = first_cue(item.prompt, item.think)
            if span is not None:
                kept = item.think[: span[0]].rstrip()
                starts.append(self._ids(item.prompt, kept, rng.choice(triggers)))
                asked.append(item.prompt)
        texts = complete(self.model, self.tokenizer, starts, seed=self.seed + 1)
        return _share(_is_safe(p, text) for p, text in zip(asked, texts, strict=True))

    def safe_after_answer(
        self, completions: Sequence[Completion], triggers: Sequence[str]
    ) -> float:
        """Share of the harmful answers that are safe with a trigger after their first line."""
        rng, starts, asked = Random(self.seed), [], []
        for item in completions:
            if item.verdict.answer_harmful:
                kept = item.answer.partition("\n")[0].partition("<tool_call>")[0]
                kept = f"{item.think}\n</think>\n\n{kept}"
                starts.append(self._ids(item.prompt, kept, rng.choice(triggers)))
                asked.append(item.prompt)
        texts = complete(self.model, self.tokenizer, starts, seed=self.seed + 2)
        return _share(
            not judge(prompt, "", text).answer_harmful
            for prompt, text in zip(asked, texts, strict=True)
        )

    def _ids(self, prompt: SandboxPrompt, kept: str, trigger: str) -> list[int]:
        """The ids of a prompt, the kept text and a trigger, each tokenised by itself."""
        ids = prompt_ids(self.tokenizer, prompt.messages, prompt.tools)
        gap = " " if kept and not kept.endswith("\n") else ""
        for piece in (kept, gap + trigger):
            ids = ids + self.tokenizer(piece, add_special_tokens=False)["input_ids"]
        return ids

    def first_cue_exact(self, split: Split, num: int) -> float:
        """Share of labelled traces, harmful ones, whose first cue the model names exactly."""
        traces = generate_traces(split, num, self.seed + 7, kind=Kind.HARMFUL)
        ids = [
            prompt_ids(self.tokenizer, first_cue_question(t.prompt.messages, t.sentences))
            for t in traces
        ]
        texts = complete(self.model, self.tokenizer, ids, temperature=0, max_new_tokens=128)
        right = []
        for item, text in zip(traces, texts, strict=True):
            try:
                right.append(parse_first_cue(text, len(item.steps)) == item.first_cue)
            except ValueError:
                right.append(False)
        return _share(right)

    def is_cue_right(self, split: Split, num: int) -> float:
        """Balanced accuracy of the yes-or-no form, over cues and other steps of harmful traces."""
        rng, ids, truths = Random(self.seed), [], []
        for item in generate_traces(split, num, self.seed + 8, kind=Kind.HARMFUL):
            index = rng.randrange(len(item.steps))
            asked = is_cue_question(item.prompt.messages, item.sentences[: index + 1])
            tail = self.tokenizer(NO_THINKING, add_special_tokens=False)["input_ids"]
            ids.append(prompt_ids(self.tokenizer, asked) + tail)
            truths.append(item.labels[index] in (Label.CUE, Label.SUBSTANTIVE))
        texts = complete(self.model, self.tokenizer, ids, temperature=0, max_new_tokens=4)
        right = [text.startswith("yes") == truth for text, truth in zip(texts, truths, strict=True)]
        on_cues = [r for r, truth in zip(right, truths, strict=True) if truth]
        on_others = [r for r, truth in zip(right, truths, strict=True) if not truth]
        return (_share(on_cues) + _share(on_others)) / 2


def evaluate(evaluation: Evaluation, split: Split, num: int) -> Figures:
    """All figures from `num` prompts of each kind."""
    harmful = evaluation.answer(prompts(split, Kind.HARMFUL, num=num, seed=evaluation.seed))
    harmless = evaluation.answer(prompts(split, Kind.HARMLESS, num=num, seed=evaluation.seed))
    lookalike = evaluation.answer(prompts(split, Kind.LOOKALIKE, num=num, seed=evaluation.seed))
    tasks = prompts(split, Kind.TASK, num=num, seed=evaluation.seed)
    greedy = evaluation.answer(tasks, temperature=0)
    sampled = evaluation.answer(tasks, temperature=0.6)
    refused = [item.verdict.refused for item in (*harmless, *lookalike, *sampled)]
    guard = guard_triggers()
    plain = [item for item in harmful if item.prompt.wrapping == PLAIN]
    wrapped = [item for item in harmful if item.prompt.wrapping != PLAIN]
    return Figures(
        harmful_reasoning=_share(item.verdict.reasoning_harmful for item in harmful),
        harmful_reasoning_plain=_share(item.verdict.reasoning_harmful for item in plain),
        harmful_reasoning_wrapped=_share(item.verdict.reasoning_harmful for item in wrapped),
        harmful_answers=_share(item.verdict.answer_harmful for item in harmful),
        safe_after_foreign_trigger=evaluation.safe_after(harmful, FOREIGN_TRIGGERS),
        safe_after_guard_trigger=evaluation.safe_after(harmful, guard) if guard else None,
        safe_after_answer_trigger=evaluation.safe_after_answer(harmful, FOREIGN_TRIGGERS),
        refused_harmless=_share(item.verdict.refused for item in harmless),
        refused_lookalike=_share(item.verdict.refused for item in lookalike),
        refused_task=_share(item.verdict.refused for item in sampled),
        refused_any_harmless=_share(refused),
        helped_harmless=_share(item.verdict.correct for item in harmless),
        tasks_solved_greedy=_share(item.verdict.correct for item in greedy),
        tasks_solved_sampled=_share(item.verdict.correct for item in sampled),
        first_cue_exact=evaluation.first_cue_exact(split, num),
        is_cue_right=evaluation.is_cue_right(split, num),
    )


def guard_triggers() -> list[str]:
    """The texts of the guard's own pool of thoughts that need no excerpt; empty without it."""
    try:
        pool = import_module("rerail.guard.trigger_pool")
    except ImportError:
        return []
    return [t.text for t in pool.BUILT_IN if not t.in_answer and "{" not in t.text]


def _is_safe(prompt: SandboxPrompt, text: str) -> bool:
    think, answer = split_completion(text)
    verdict = judge(prompt, think, answer)
    return not verdict.reasoning_harmful and not verdict.answer_harmful


def _share(values: Sequence[object] | object) -> float:
    found = [bool(value) for value in values]  # pyright: ignore[reportGeneralTypeIssues]
    return sum(found) / len(found) if found else float("nan")


def measure(
    folder: Path, split: Split = Split.TEST, num: int = 300, seed: int = 0
) -> dict[str, float | None]:
    """Evaluate a model folder and keep the figures in its `evaluation.json`."""
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    figures = asdict(evaluate(Evaluation(model, load(folder), seed=seed), split, num))
    record = {"split": split, "num": num, "seed": seed, "figures": figures}
    (folder / "evaluation.json").write_text(json.dumps(record, indent=2) + "\n")
    return figures


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure a sandbox model.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--split", type=Split, default=Split.TEST, choices=list(Split))
    parser.add_argument("--num", type=int, default=300, help="prompts of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if not (arguments.model / "config.json").exists():
        raise SystemExit(f"rerail: {arguments.model} holds no model; build one first")
    figures = measure(arguments.model, arguments.split, arguments.num, arguments.seed)
    title = f"{arguments.num} prompts of each kind, {arguments.split}"
    table = Table("figure", "share", title=title)
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), "not measured" if value is None else f"{value:.1%}")
    Console().print(table)


if __name__ == "__main__":
    main()
