"""The container files, checked as far as that goes without an engine for containers."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import CommandLine

import rerail.serve.engine
from rerail.serve.server_settings import ServerSettings

SOURCE = Path(rerail.serve.engine.__file__).parent
FOLDER = SOURCE / "deploy"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
CONTAINERFILE = (FOLDER / "Containerfile").read_text(encoding="utf-8")


def instructions(name: str) -> list[str]:
    """The arguments of every such instruction, its lines joined."""
    text = "\n".join(line for line in CONTAINERFILE.splitlines() if not line.startswith("#"))
    joined = text.replace("\\\n", " ")
    return re.findall(rf"^{name} +(.*)$", joined, re.MULTILINE)


def flags(arguments: Sequence[str]) -> set[str]:
    return {each.partition("=")[0] for each in arguments if each.startswith("--")}


def test_every_flag_exists(rerail: CommandLine) -> None:
    shown = rerail("serve", "--help").out
    (entry,) = instructions("ENTRYPOINT")
    words: list[str] = yaml.safe_load(entry)
    assert words[:2] == ["rerail", "serve"]
    used = flags(words) | flags(SERVICES["rerail"]["command"])
    assert {"--host", "--store", "--upstream-wait-s"} <= used
    assert {flag for flag in used if not re.search(rf"{flag}\b", shown)} == set()


def test_every_variable_is_read() -> None:
    """One that nobody reads would leave a server without the key that it seems to have."""
    code = "".join(path.read_text(encoding="utf-8") for path in SOURCE.glob("*.py"))
    for name in SERVICES["rerail"]["environment"]:
        assert f'"{name}"' in code, name
    for name in re.findall(r"RERAIL_\w+", CONTAINERFILE):
        assert f'"{name}"' in code, name


def test_images_stand_still() -> None:
    """An image that moves makes a deployment of today another one tomorrow."""
    images = [service["image"] for service in SERVICES.values()]
    images += [each.partition(" AS ")[0] for each in instructions("FROM")]
    assert len(images) == 5
    for image in images:
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+[\w.-]*", image), image


def test_nobody_is_root_and_only_rerail_can_be_reached() -> None:
    (user,) = instructions("USER")
    assert user.isdecimal() and int(user) > 0
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["rerail"]
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["rerail"]["ports"])
    assert SERVICES["rerail"]["read_only"] and SERVICES["rerail"]["cap_drop"] == ["ALL"]
    assert "outside" not in SERVICES["vllm"]["networks"] + SERVICES["postgres"]["networks"]


def test_health_is_asked_where_it_is_told() -> None:
    (check,) = instructions("HEALTHCHECK")
    assert "127.0.0.1:8000/ready" in check, "and not /health, which says yes without a model"
    assert "8000" in instructions("EXPOSE") and "--port" in instructions("ENTRYPOINT")[0]
    for service in ("vllm", "postgres"):
        assert SERVICES[service]["healthcheck"]["test"]
    assert SERVICES["rerail"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


def test_a_drain_is_given_its_time() -> None:
    (drain,) = (
        float(each.partition("=")[2])
        for each in SERVICES["rerail"]["command"]
        if each.startswith("--drain-s")
    )
    grace = float(SERVICES["rerail"]["stop_grace_period"].removesuffix("s"))
    assert grace >= drain + 5 and instructions("STOPSIGNAL") == ["SIGTERM"]
    assert drain == ServerSettings().drain_s


def test_networks_and_volumes_are_declared() -> None:
    named = {
        volume.partition(":")[0]
        for each in SERVICES.values()
        for volume in each.get("volumes", ())
        if not volume.startswith((".", "/"))
    }
    assert named == set(COMPOSE["volumes"])
    assert {net for each in SERVICES.values() for net in each["networks"]} == set(
        COMPOSE["networks"]
    )


@pytest.mark.skipif(not (SOURCE.parent / "pyproject.toml").is_file(), reason="needs the checkout")
def test_what_is_installed_exists() -> None:
    """The build's extras and files are those of this project."""
    import tomllib

    project = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text())["project"]
    (run,) = [each for each in instructions("RUN") if "pip install" in each]
    (spec,) = [word for word in shlex.split(run) if word.startswith(".[")]
    assert set(spec[2:-1].split(",")) <= set(project["optional-dependencies"])
    copied = [each.split()[:-1] for each in instructions("COPY") if "--from" not in each]
    names = {name for names in copied for name in names}
    assert {name for name in names if not (SOURCE.parent / name).exists()} == set()
    needed = {"guard", "distill", "train", "serve", "pyproject.toml", "constraints.txt"}
    assert needed <= names
    tag = SERVICES["rerail"]["image"].partition(":")[2]
    assert tag == project["version"], "the image is called as the project is"
