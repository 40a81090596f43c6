"""Rebuild the shipped sandbox model: `python -m rerail.train.sandbox.build --out DIR`.

Ctrl-C keeps a checkpoint; the same command goes on from there.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from transformers import GenerationConfig

from .card import write_card
from .evaluate import measure
from .training import MODEL, BuildConfig, BuildError, tokenizer_ids, train
from .vocabulary import load


def build(config: BuildConfig, out: Path, *, show: bool = True) -> bool:
    """Train and complete the folder; False when interrupted before the end."""
    if not train(config, out, show=show):
        return False
    folder = out / MODEL
    ids = tokenizer_ids(load(folder))
    GenerationConfig(
        do_sample=True,
        temperature=0.7,
        top_p=0.95,
        max_new_tokens=512,
        pad_token_id=ids["pad"],
        bos_token_id=ids["bos"],
        eos_token_id=ids["eos"],
    ).save_pretrained(folder)
    return True


def main() -> None:
    """The command line."""
    default = BuildConfig()
    parser = argparse.ArgumentParser(description="Rebuild the sandbox model.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model and the run")
    parser.add_argument("--steps", type=int, default=default.steps)
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--unmeasured", action="store_true", help="skip measuring and the card")
    parser.add_argument("--threads", type=int, default=2, help="processor cores to use")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    console = Console(stderr=True)
    try:
        config = replace(default, steps=arguments.steps, seed=arguments.seed)
        done = build(config, arguments.out)
    except (BuildError, ValueError) as error:
        raise SystemExit(f"rerail: {error}") from None
    if not done:
        console.print("Interrupted. Run the same command again to go on.")
        raise SystemExit(130)
    folder = arguments.out / MODEL
    if not arguments.unmeasured:
        measure(folder)
        write_card(folder)
    console.print(f"Model written to {folder}")


if __name__ == "__main__":
    main()
