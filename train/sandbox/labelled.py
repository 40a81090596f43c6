"""Sandbox traces as labelled trace files: what `rerail distill` learns of this world's voice.

`python -m rerail.train.sandbox.labelled --out FILE` writes the world's own traces; with `--model`
those that a sandbox model writes, labelled by the exact judge; with `--conversations` on later
turns, tools and long preludes as well. Seeded.
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from .attacks import ASKED_OTHERWISE, attacked
from .conversations import multi_turn, with_tools
from .judge import judge, label_steps, split_completion
from .kinds import Kind, Split
from .questions import transcript
from .world import SandboxPrompt, generate_traces, prompts

Row = dict[str, object]
"""A line of a file of labelled traces or requests, see `distill.labels`."""


def world_rows(split: Split | str, num: int, seed: int) -> Iterator[Row]:
    """The world's traces, one row each, with their conversation as a transcript."""
    for trace in generate_traces(split, num, seed):
        yield _row(trace.prompt, trace.think, trace.answer)


def conversation_prompts(split: Split | str, num: int, seed: int) -> list[SandboxPrompt]:
    """About `num` prompts of all the shapes that a guard meets.

    A third is the world's own, a third comes in later turns or with tools, a third hides a request
    or stands it behind a long prelude; of the latter two as many are harmless as harmful.
    """
    third, sixth, twelfth = num // 3, num // 6, num // 12
    return [
        *prompts(split, num=third, seed=seed),
        *multi_turn(split, twelfth, seed),
        *with_tools(split, twelfth, seed),
        *(
            each.prompt
            for name in ASKED_OTHERWISE
            for kind in (Kind.HARMFUL, Kind.HARMLESS)
            for each in attacked(name, split, sixth // len(ASKED_OTHERWISE), seed, kind=kind)
        ),
    ]


def model_rows(asked: Sequence[SandboxPrompt], seed: int, model: Path) -> Iterator[Row]:
    """What the model in this folder writes on these prompts."""
    from transformers import AutoModelForCausalLM

    from .sampling import complete, prompt_ids
    from .vocabulary import load

    tokenizer = load(model)
    loaded = AutoModelForCausalLM.from_pretrained(model).eval()
    ids = [prompt_ids(tokenizer, prompt.messages, prompt.tools) for prompt in asked]
    for prompt, text in zip(asked, complete(loaded, tokenizer, ids, seed=seed), strict=True):
        yield _row(prompt, *split_completion(text))


def request_rows(split: Split | str, num: int, seed: int) -> Iterator[Row]:
    """Requests alone, each once; without the tasks, which are all alike."""
    seen: set[str] = set()
    for prompt in prompts(split, num=num, seed=seed):
        text = transcript(prompt.messages)
        if prompt.kind is not Kind.TASK and text not in seen:
            seen.add(text)
            yield {"request": text, "harmful": prompt.harmful, "kind": str(prompt.kind)}


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Writes a JSON Lines file."""
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")


def _row(prompt: SandboxPrompt, think: str, answer: str) -> Row:
    marked = label_steps(prompt, think)
    return {
        "id": prompt.prompt_id,
        "request": transcript(prompt.messages),
        "harmful": prompt.harmful,
        "model": "sandbox",
        "think": think,
        "answer": answer,
        "answer_harmful": judge(prompt, think, answer).answer_harmful,
        "steps": [list(span) for span, _ in marked],
        "labels": "".join(mark for _, mark in marked),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Write labelled sandbox traces, or requests.")
    parser.add_argument("--out", type=Path, required=True, help="the JSON Lines file")
    parser.add_argument("--split", choices=[str(split) for split in Split], default="train")
    parser.add_argument("--num", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", type=Path, help="let the model in this folder write them")
    parser.add_argument("--requests", action="store_true", help="only requests with a verdict")
    parser.add_argument(
        "--conversations", action="store_true", help="with --model: on conversations of all shapes"
    )
    chosen = parser.parse_args()
    if chosen.conversations and chosen.model is None:
        parser.error("--conversations needs --model: the world writes traces of single turns only")
    if chosen.requests:
        rows = request_rows(chosen.split, chosen.num, chosen.seed)
    elif chosen.model is not None:
        asking = conversation_prompts if chosen.conversations else prompts
        asked = asking(chosen.split, num=chosen.num, seed=chosen.seed)
        rows = model_rows(asked, chosen.seed, chosen.model)
    else:
        rows = world_rows(chosen.split, chosen.num, chosen.seed)
    write_rows(rows, chosen.out)


if __name__ == "__main__":
    main()
