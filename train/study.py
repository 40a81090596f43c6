"""The paper's findings on the sandbox, reproduced by one command: STUDY.md, study.json, figures.

It says where a finding does not hold. Every seed has a folder of its own and every part a log, so
a study that was stopped goes on; figures pool the observations of all seeds, with 95 % bootstrap
intervals over prompts.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..distill.run_folder import check_config, put_text, write_record
from .csr_trace import cue_correlation
from .evaluation_subject import Subject
from .intervention_curve import curve, report_rows
from .part_times import seconds_by_part
from .study_parts import Findings, StudyConfig, Told, measure_seed
from .study_report import Seconds, base_harm, draw_study, study_markdown, trigger_share
from .study_training import arm_results
from .suite_result import suite_results


def run_study(
    config: StudyConfig,
    subjects: Callable[[bool], Subject],
    folder: Path,
    *,
    model: str = "sandbox",
    told: Told = lambda: None,
) -> dict[str, Any]:
    """Measures what is missing, writes the report and gives its record."""
    folder.mkdir(parents=True, exist_ok=True)
    subject = subjects(False)
    # More seeds may be added to a study that is there.
    sizes = {name: value for name, value in asdict(config).items() if name != "num_seeds"}
    check_config(folder, sizes | {"model": subject.name})
    folders = [folder / f"seed-{seed}" for seed in range(config.num_seeds)]
    found = [
        measure_seed(seed, config, subject, own, model, told) for seed, own in enumerate(folders)
    ]
    return write_study(config, found, folder, subject.name, seconds_by_part(folders))


def write_study(
    config: StudyConfig, found: Sequence[Findings], folder: Path, model: str, seconds: Seconds
) -> dict[str, Any]:
    """STUDY.md, study.json and figures from the findings of each seed; gives the record."""
    pooled = _pooled(found)
    took = {name: {"clock": clock, "processor": busy} for name, (clock, busy) in seconds.items()}
    record = study_record(config, pooled) | {"model": model, "seconds": took}
    write_record(folder / "study.json", record)
    draw_study(config, pooled, folder)
    text = study_markdown(config, pooled, model, seconds)
    put_text(folder / "STUDY.md", text)
    return record


def study_record(config: StudyConfig, found: Findings) -> dict[str, Any]:
    """Everything in numbers."""
    exact = curve(found.interventions["exact"], config.cap, harmful_only=True)
    return {
        "num_seeds": config.num_seeds,
        "pearson_cue_turning": cue_correlation(found.csr).to_row(),
        "pearson_cue_turning_within": cue_correlation(found.csr, turned=True).to_row(),
        "pearson_cue_end_turning": cue_correlation(found.csr, at_end=True).to_row(),
        "trigger_share_safe": trigger_share(found).to_row(),
        "base_reasoning_harm": base_harm(found).to_row(),
        "harm_by_interventions": [each.to_row() for each in exact],
        "detectors": report_rows(found.interventions, config.cap),
        "algorithms": {each.arm: each.to_row() for each in arm_results(found.arms)},
        "trainings": [asdict(each) for each in found.trained],
        "suites": {each.suite: each.to_row() for each in suite_results(found.suites)},
    }


def _pooled(found: Sequence[Findings]) -> Findings:
    pooled = Findings()
    for each in found:
        pooled.traces += each.traces
        pooled.csr += each.csr
        pooled.arms += each.arms
        pooled.trained += each.trained
        pooled.suites += each.suites
        for name, values in each.interventions.items():
            pooled.interventions.setdefault(name, []).extend(values)
    return pooled
