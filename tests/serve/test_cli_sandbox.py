"""`--sandbox` fills in what was not given: told by what was given, not by its value."""

from pathlib import Path

import pytest
from cyclopts import UnknownOptionError
from cyclopts.config import Dict as ConfigSections

from rerail.serve.cli import COMMANDS, new_app
from rerail.serve.cli_config import read_config
from rerail.serve.cli_sandbox import fill_in_for_sandbox
from rerail.train.preference_config import PreferenceConfig
from rerail.train.rounds_config import RoundsConfig
from rerail.train.sandbox_settings import SANDBOX_ROUNDS

USUAL = PreferenceConfig()
NOWHERE = ("--out", "nowhere")


def run_of(*flags: str, file: Path | None = None, command: str = "rounds") -> RoundsConfig:
    """The settings with which `rerail train rounds`, or another command, would begin."""
    tokens = ("train", command, *NOWHERE, *flags)
    app = new_app(tokens)
    app.config = (fill_in_for_sandbox,)
    if file is not None:
        sections = read_config(
            file, {path: function is not None for path, (function, _) in COMMANDS.items()}
        )
        app.config = (ConfigSections(data=sections, source=str(file)), fill_in_for_sandbox)
    _, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
    return bound.arguments.get("run", RoundsConfig())


def test_alone_it_gives_the_sandbox_s_settings() -> None:
    assert run_of("--sandbox") == SANDBOX_ROUNDS


def test_what_was_given_at_its_usual_value_stays() -> None:
    assert USUAL.beta != SANDBOX_ROUNDS.training.beta
    run = run_of("--sandbox", "--training.beta", str(USUAL.beta), "--seed", "3")
    assert run.training.beta == USUAL.beta
    assert run.training.sft_weight == SANDBOX_ROUNDS.training.sft_weight
    assert (run.seed, run.rollouts) == (3, SANDBOX_ROUNDS.rollouts)


@pytest.mark.parametrize("switch", [(), ("--sandbox=false",)])
def test_without_it_nothing_is_filled_in(switch: tuple[str, ...]) -> None:
    assert run_of("--seed", "3", *switch) == RoundsConfig(seed=3)


def test_a_file_may_set_it_and_may_give_usual_values(tmp_path: Path) -> None:
    file = tmp_path / "rerail.yaml"
    file.write_text(
        "train:\n  rounds:\n    sandbox: true\n    training:\n"
        f"      learning_rate: {USUAL.learning_rate}\n",
        "utf-8",
    )
    run = run_of(file=file)
    assert run.training.learning_rate == USUAL.learning_rate
    assert run.training.beta == SANDBOX_ROUNDS.training.beta


def test_arms_of_the_embedded_model_get_them_without_a_switch() -> None:
    pairs = ("--pairs", "pairs.jsonl")
    assert run_of(*pairs, command="arms") == SANDBOX_ROUNDS
    assert run_of(*pairs, "--model", "sandbox", command="arms") == SANDBOX_ROUNDS
    assert run_of(*pairs, "--model", "mine", command="arms") == RoundsConfig(model="mine")


def test_other_commands_are_left_alone() -> None:
    tokens = ("train", "gate", "--sandbox", "--adapter", "nowhere")
    app = new_app(tokens)
    app.config = (fill_in_for_sandbox,)
    with pytest.raises(UnknownOptionError):
        app.parse_args(tokens, exit_on_error=False, print_error=False)
