"""Settings that suit the embedded model, for `rerail train rounds --sandbox` and for `rerail train
arms` on it, wherever neither the command line nor the YAML file gives one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cyclopts import App, ArgumentCollection
from cyclopts.config import Dict as ConfigSections

_OFF = ("false", "no", "n", "0", "f")
"""What a switch takes for no."""


def fill_in_for_sandbox(app: App, commands: Sequence[str], arguments: ArgumentCollection) -> None:
    """The last of the sources of a command's options: what another has given stays, even where it
    is the usual value."""
    command = tuple(commands)
    meant = _MEANT.get(command)
    if meant is None or not meant(arguments):
        return
    from ..train.sandbox_settings import sandbox_flags

    sections: dict[str, Any] = {"train": {command[1]: sandbox_flags()}}
    ConfigSections(data=sections, source="the sandbox's settings")(app, command, arguments)


def _switched_on(arguments: ArgumentCollection) -> bool:
    """Whether the switch was set, and not to no."""
    switch = next(each for each in arguments if each.name == "--sandbox")
    return any(
        token.value.lower() not in _OFF and token.implicit_value is not False
        for token in switch.tokens
    )


def _of_embedded_model(arguments: ArgumentCollection) -> bool:
    """Whether no other model was named."""
    named = next(each for each in arguments if each.name == "--model")
    return all(token.value == "sandbox" for token in named.tokens)


_MEANT: Mapping[tuple[str, ...], Callable[[ArgumentCollection], bool]] = {
    ("train", "rounds"): _switched_on,
    ("train", "arms"): _of_embedded_model,
}
"""When the embedded model is meant, by command."""
