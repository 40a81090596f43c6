"""`--sandbox` of `rerail train rounds`: settings that suit the embedded model, wherever neither the
command line nor the YAML file gives one."""

from collections.abc import Sequence
from typing import Any

from cyclopts import App, ArgumentCollection
from cyclopts.config import Dict as ConfigSections

_COMMAND = ("train", "rounds")
_OFF = ("false", "no", "n", "0", "f")
"""What a switch takes for no."""


def fill_in_for_sandbox(app: App, commands: Sequence[str], arguments: ArgumentCollection) -> None:
    """The last of the sources of a command's options: what another has given stays, even where it
    is the usual value."""
    if tuple(commands) != _COMMAND or not _is_on(arguments):
        return
    from ..train.sandbox_settings import sandbox_flags

    sections: dict[str, Any] = {"train": {"rounds": sandbox_flags()}}
    ConfigSections(data=sections, source="the sandbox's settings")(app, tuple(commands), arguments)


def _is_on(arguments: ArgumentCollection) -> bool:
    """Whether the switch was set, and not to no."""
    switch = next(each for each in arguments if each.name == "--sandbox")
    return any(
        token.value.lower() not in _OFF and token.implicit_value is not False
        for token in switch.tokens
    )
