"""The command `rerail`. Commands are loaded when they are called: `rerail --help` is at once there.

Every flag comes from a function's parameter or a dataclass' field, and its help text from the
docstring beside that field; the YAML file of `--config` has the same names (cli_config.py).
"""

import gc
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter, UnknownOptionError
from cyclopts.config import Dict as ConfigSections

from .cli_config import read_config
from .cli_errors import UsageError, exit_code, say, sentence_of
from .cli_sandbox import fill_in_for_sandbox

COMMANDS: dict[str, tuple[str | None, str]] = {
    "demo": ("cli_demo:demo", "The embedded model, unguarded against guarded, live."),
    "run": ("cli_run:run", "Answer one prompt under the guard."),
    "serve": ("cli_serve:serve", "An OpenAI-compatible server whose every answer is guarded."),
    "detect": ("cli_detect:detect", "Score recorded traces step by step."),
    "trace": (None, "Look at what the guard has recorded."),
    "trace list": ("cli_trace:list_traces", "The recorded traces."),
    "trace show": ("cli_trace:show", "One trace, step by step."),
    "trace stats": ("cli_trace:stats", "Figures over many traces."),
    "trace watch": ("cli_watch:watch", "Generations while they run."),
    "trace browse": ("cli_watch:browse", "Browse with keys, and mark steps by hand."),
    "trace diff": ("cli_trace:diff", "Two traces of one request, step by step."),
    "trace export": ("cli_trace:export", "One trace as HTML, SVG or Markdown."),
    "distill": ("cli_distill:distill", "Make a detector from traces and a teacher."),
    "distill report": ("cli_distill:report", "Measure a detector: tables and curves."),
    "distill evidence": ("cli_distill:evidence", "What unseen voices cost, what sources add."),
    "distill shipped": ("cli_distill:shipped", "Rebuild the detector that comes with rerail."),
    "train": (None, "Train a model on what its interventions taught."),
    "train rounds": ("cli_train:rounds", "Rollouts, pairs, training and gate, round after round."),
    "train rollouts": ("cli_train_rollouts:rollouts", "Originals, cues, triggers, verdicts."),
    "train triggers": ("cli_train_rollouts:triggers", "Triggers of the model's own, compared."),
    "train pairs": ("cli_train_pairs:pairs", "Preference pairs from rollouts, store and files."),
    "train preference": ("cli_train:preference", "Train on preference pairs."),
    "train gate": ("cli_train:gate", "Measure a trained model and say whether it may serve."),
    "train arms": ("cli_train_compare:arms", "Compare ways of training on the same pairs."),
    "train table": ("cli_train_compare:table", "The mean over several runs of rounds."),
    "train watch": ("cli_train_watch:watch", "Rounds beside a server, from what it stores."),
    "eval": ("cli_eval:evaluate", "Measure a model: harm, over-refusal, accuracy, arm by arm."),
    "eval csr": ("cli_eval_csr:csr", "Continuation safety ratio and turning points."),
    "eval interventions": (
        "cli_eval_interventions:interventions",
        "Harm after 0 to k interventions.",
    ),
    "eval thresholds": (
        "cli_eval_thresholds:thresholds",
        "Re-score recorded traces at every threshold.",
    ),
    "eval study": ("cli_eval:study", "The paper's findings, reproduced on the sandbox."),
    "pairs": (None, "The preference pairs that interventions leave behind."),
    "pairs export": ("cli_pairs:export", "Write them to a file."),
    "pairs complete": ("cli_pairs:complete", "Generate what the guard cut off."),
    "pairs purge": ("cli_pairs:purge", "Delete traces and pairs for good."),
}
"""Every command: its function, `None` for a mere group of commands, and what a list says of it. A
function with commands below it is what the group does without one."""

_HELP = """Puts a reasoning model's train of thought back on the rails while it is still thinking.

Examples

    rerail demo
    rerail run "How do I kill a Python process?"
    rerail run --model ./my-model --policy audit --json < prompt.txt
    rerail trace list --action intervene
    rerail pairs export --out pairs.jsonl

Wherever a model is named, `sandbox` means the small one that comes with rerail.
"""


def _version() -> str:
    from importlib.metadata import version

    return f"rerail {version('rerail')}"


def _new_app(name: str, summary: str) -> App:
    return App(
        name=name,
        help=summary,
        help_format="plaintext",
        version=_version,
        version_flags="--version" if name == "rerail" else (),
        default_parameter=Parameter(negative=()),
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
    )


def new_app(tokens: Sequence[str] = ()) -> App:
    """The whole command line. A command named in `tokens` brings its own, whole help text; for the
    others a line will do, so that nothing has to be loaded to list them."""
    app = _new_app("rerail", _HELP)
    groups = {"": app}
    for path, (function, summary) in COMMANDS.items():
        group, _, name = path.rpartition(" ")
        if any(other.startswith(f"{path} ") for other in COMMANDS):
            groups[path] = _new_app(name, summary)
            groups[group].command(groups[path])
            if function is not None and name in tokens:
                _set_default(groups[path], function)
        elif name in tokens:
            # Markdown flows the docstring's paragraphs; it takes a while to load.
            groups[group].command(f"rerail.serve.{function}", name=name, help_format="markdown")
        else:
            groups[group].command(f"rerail.serve.{function}", name=name, help=summary)
    app.register_install_completion_command(
        help="Install tab completion for this shell (bash, zsh or fish), then open a new one."
    )
    return app


def _set_default(app: App, function: str) -> None:
    """What a group of commands does by itself, with its own help text."""
    module, _, attribute = function.partition(":")
    app.default(getattr(import_module(f"rerail.serve.{module}"), attribute))
    app.help, app.help_format = None, "markdown"


def _launcher(app: App, *, is_program: bool) -> None:
    """Adds what every command takes."""
    app.meta.suppress_keyboard_interrupt = False  # main says what an interrupt left behind

    @app.meta.default
    def launch(
        *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        config: Path | None = None,
        debug: bool = False,
    ) -> int | None:
        """Runs a command.

        Parameters
        ----------
        config
            A YAML file of options: one section a command, with the names of its flags.
        debug
            Show the traceback of an error.
        """
        sources: list[Any] = [fill_in_for_sandbox]
        if config is not None:
            sections = read_config(
                config, {path: function is not None for path, (function, _) in COMMANDS.items()}
            )
            sources.insert(0, ConfigSections(data=sections, source=str(config)))
        app.config = tuple(sources)
        try:
            command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
        except CycloptsError as error:
            if debug:
                raise
            raise UsageError(_plain(error)) from error
        except ValueError as error:  # a settings dataclass has refused a value
            if debug:
                raise
            raise UsageError(str(error)) from error
        if is_program:
            # What has been loaded stays: looking through it for garbage, again and again, would
            # take a fifth of the time of a short command.
            gc.freeze()
            gc.enable()
        try:
            return command(*bound.args, **bound.kwargs)
        except BaseException as error:
            if debug and not isinstance(error, (KeyboardInterrupt, SystemExit)):
                import traceback

                traceback.print_exc()
            raise


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; gives the exit code."""
    _set_up_streams()
    is_program = arguments is None
    if is_program:
        gc.disable()  # until the command has been loaded
    tokens = sys.argv[1:] if is_program else list(arguments)
    try:
        app = new_app(tokens)
        _launcher(app, is_program=is_program)
        result = app.meta(tokens, exit_on_error=False, print_error=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except CycloptsError as error:
        say(_plain(error))
        return exit_code(UsageError())
    except BrokenPipeError as error:
        # Whoever read the output has gone; what is buffered must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_code(error)
    except (Exception, KeyboardInterrupt) as error:
        say(sentence_of(error))
        return exit_code(error)


def _plain(error: CycloptsError) -> str:
    """An error of the command line's own in one line."""
    sentence = " ".join(str(error).split())
    if isinstance(error, UnknownOptionError):
        command = " ".join(("rerail", *(error.command_chain or ())))
        sentence += f" {command} --help lists the options it takes."
    return sentence


def _set_up_streams() -> None:
    """A terminal that cannot show a character gets a question mark instead of an exception; what
    parts of rerail log, such as a trace that could not be stored, is said as errors are."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("rerail: %(message)s"))
    logger = logging.getLogger("rerail")
    logger.handlers, logger.propagate = [handler], False
