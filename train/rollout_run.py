"""A whole rollout run in a folder: resumable to the prompt, with a report at its end."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..distill.run_folder import write_record
from .prompts import PromptRecord
from .rollout_config import RolloutConfig
from .rollout_report import RolloutReport, report_on
from .rollout_store import RolloutStore, read_rollouts
from .rollouts import RolloutTools, roll_out_all


def run_rollouts(
    folder: Path,
    prompts: Sequence[PromptRecord],
    tools: RolloutTools,
    config: RolloutConfig,
    *,
    model: str,
    progress: Callable[[int], object] | None = None,
) -> RolloutReport:
    """Rolls out the prompts that have no record in the folder yet, and reports on all of them.

    `model` is the identity of what generates. `progress` is told how many prompts are done, first
    those of earlier runs. Whatever stops the run, the records on disk stay, and the same call goes
    on. Raises ValueError if the folder holds a run with other settings, model or prompts.
    """
    if not prompts:
        raise ValueError("there are no prompts to roll out: give some")
    tell = progress or (lambda num: None)
    store = RolloutStore(folder, settings_of(prompts, tools, config, model))
    missing = store.missing(prompts)
    tell(len(prompts) - len(missing))
    for num in roll_out_all(missing, tools, config, keep=store.add):
        tell(num)
    wanted = {prompt.id for prompt in prompts}
    report = report_on(each for each in read_rollouts(folder) if each.prompt.id in wanted)
    write_record(folder / "report.json", report.to_row())
    return report


def settings_of(
    prompts: Sequence[PromptRecord], tools: RolloutTools, config: RolloutConfig, model: str
) -> dict[str, Any]:
    """What a run is told, for its folder."""
    rows = json.dumps([prompt.to_row() for prompt in prompts], sort_keys=True)
    return {
        **config.to_row(),
        "model": model,
        "detector": tools.finder.name,
        "judge": tools.judge.name if tools.judge is not None else None,
        "triggers": tools.triggers.name,
        "prompts": f"{len(prompts)}@{hashlib.sha256(rows.encode()).hexdigest()[:12]}",
    }
