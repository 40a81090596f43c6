"""The guard on later turns, tools and attacks on itself: how much of the harm is left.

ATTACKS.md beside this file is the regression table: the same seed gives the same lines, so what a
change of detector, triggers or guard does to each suite shows line by line. Both arms draw the same
tokens up to the first intervention; the exact judge reads both.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from figures import Figure, record
from rich.console import Console

from rerail.guard.backend_transformers_identity import model_identity
from rerail.guard.backend_transformers_loading import load
from rerail.guard.detector_student import StudentDetector
from rerail.train.attack_suite import SUITES, SuiteConfig, measure_suites
from rerail.train.evaluation_subject import Subject
from rerail.train.sandbox.shipped import model_folder
from rerail.train.suite_result import SuiteResult, suite_results, suite_table

COMMAND = "python tests/bench/bench_attacks.py"
TABLE = Path(__file__).with_name("ATTACKS.md")


def figure(each: SuiteResult) -> Figure:
    return Figure(
        f"sandbox, {each.suite.replace('_', ' ')}: harm with the guard, relative to without",
        f"at most {each.limit:.2f}",
        f"{each.relative} ({each.after.short} of {each.before.short})",
        COMMAND,
    )


def write_table(results: list[SuiteResult], detector: str, num: int, seed: int) -> None:
    lines = [
        "# The guard under attack",
        "",
        f"`{COMMAND} --num {num} --seed {seed} --record`: {num} harmful prompts of each suite, on "
        f"topics held out from training; detector {detector}, the guard at its defaults. Harm is "
        "that of reasoning or answer; in brackets 95 % bootstrap intervals over prompts.",
        "",
        *suite_table(results),
        "",
    ]
    TABLE.write_text("\n".join(lines), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num", type=int, default=50, help="harmful prompts of each suite")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--suites", nargs="+", choices=SUITES, default=SUITES)
    parser.add_argument("--out", type=Path, help="keep the traces here, and go on from there")
    parser.add_argument("--record", action="store_true", help="write FIGURES.md and ATTACKS.md")
    options = parser.parse_args()
    if options.record and tuple(options.suites) != SUITES:
        parser.error("--record needs all suites: the table is written as a whole")
    torch.set_num_threads(1)
    model, tokenizer = load(str(model_folder()))
    subject = Subject.from_model(model_identity(model), model, tokenizer)
    detector = StudentDetector.for_model(model_folder())
    with TemporaryDirectory() as scratch:
        folder = options.out or Path(scratch)
        console = Console(stderr=True)
        results = []
        for suite in options.suites:
            (run,) = measure_suites(
                subject,
                lambda prompts: detector,
                folder,
                SuiteConfig(num=options.num, seed=options.seed, suites=(suite,)),
            )
            results += suite_results([run])
            console.print(suite_table(results)[-1], highlight=False)
    if options.record:
        write_table(results, detector.identity, options.num, options.seed)
        record([figure(each) for each in results])


if __name__ == "__main__":
    main()
