"""Options from a YAML file: one section a command, with the names of its flags.

```yaml
run:
  model: sandbox
  policy: audit
pairs:
  export:
    format: parquet
```

What stands on the command line wins over the file. A section or an option that does not exist is
an error, since a misspelt threshold must not go unnoticed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .cli_errors import UsageError


def read_config(path: Path, commands: Mapping[str, bool]) -> dict[str, Any]:
    """The file's sections. `commands` holds the known ones and whether they take options
    themselves; "pairs export" lies in "pairs", beside the options of "pairs" if it has any.

    Raises `UsageError` for a file that cannot be read, is no YAML, or has an unknown section.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:  # without the line itself, which may hold a key
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UsageError(f"--config {path} is no YAML{line}: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = "it holds characters that no YAML file may"
        raise UsageError(f"--config {path} is no YAML: {problem}") from error
    return _section(content, "", commands, f"--config {path}")


def _section(content: Any, group: str, commands: Mapping[str, bool], where: str) -> dict[str, Any]:
    """The sections of one group of commands."""
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"{where}: give sections named for commands, with options in them")
    sections: dict[str, Any] = {}
    for name, value in content.items():
        command = f"{group} {name}".strip()
        if command not in commands and commands.get(group):
            if value is not None:
                sections[str(name).replace("_", "-")] = value
            continue
        if command not in commands:
            known = ", ".join(each for each in commands if each.startswith(group))
            raise UsageError(f"{where}: no command is called {command!r} (known: {known})")
        if any(each.startswith(f"{command} ") for each in commands):
            sections[name] = _section(value, command, commands, where)
        elif value is None or isinstance(value, dict):
            sections[name] = {
                str(option).replace("_", "-"): setting
                for option, setting in (value or {}).items()
                if setting is not None
            }
        else:
            raise UsageError(f"{where}: section {command!r} holds no options")
    return sections
