"""Sandbox traces as labelled trace files: what `rerail distill` learns of this world's voice.

`python -m rerail.train.sandbox.labelled --out FILE` writes the world's own traces; with `--model`
those that a sandbox model writes, labelled by the exact judge. Seeded.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from .judge import judge, label_steps, split_completion
from .kinds import Kind, Split
from .questions import transcript
from .world import SandboxPrompt, generate_traces, prompts

Row = dict[str, object]


def world_rows(split: Split | str, num: int, seed: int) -> Iterator[Row]:
    """The world's traces, one row each, with their conversation as a transcript."""
    for trace in generate_traces(split, num, seed):
        yield _row(trace.prompt, trace.think, trace.answer)


def model_rows(split: Split | str, num: int, seed: int, model: Path) -> Iterator[Row]:
    """What the model in this folder writes on as many prompts of the world."""
    from transformers import AutoModelForCausalLM

    from .sampling import complete, prompt_ids
    from .vocabulary import load

    asked = prompts(split, num=num, seed=seed)
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
    chosen = parser.parse_args()
    if chosen.requests:
        rows = request_rows(chosen.split, chosen.num, chosen.seed)
    elif chosen.model is not None:
        rows = model_rows(chosen.split, chosen.num, chosen.seed, chosen.model)
    else:
        rows = world_rows(chosen.split, chosen.num, chosen.seed)
    write_rows(rows, chosen.out)


if __name__ == "__main__":
    main()
