"""The student's folder on disk: a manifest and the files that it names, checked before any is used.

The manifest holds the SHA-256 of every file, so a truncated or altered one is refused with a
sentence instead of being run; its own hash is the detector's identity.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from .belief import BeliefWeights
from .detector import Threshold, Thresholds
from .json_text import json_of

FORMAT = 2
"""Version of the folder's layout and of the graphs' inputs and outputs."""

SHIPPED = Path(__file__).parent / "student"
"""The student that comes with the package."""

SCREEN = "screen.onnx"
"""The first stage's graph, a file of the folder."""

ENCODER = "encoder.onnx"
"""The second stage's."""

TOKENIZER = "tokenizer.json"
"""The tokenizer of both, as the tokenizers library has it."""

MANIFEST = "manifest.json"
"""Format, settings, and the hashes of the files."""

_MAX_FILE_BYTES = 64 * 2**20
_MAX_MANIFEST_BYTES = 2**20
# The key "location" in ONNX's list of external data files: its length, in as many bytes as a writer
# likes, and the word.
_EXTERNAL_DATA = re.compile(rb"(?:\x08|\x88\x80*\x00)location")


class DetectorFileError(ValueError):
    """A detector's folder is missing, damaged, altered or of another format."""


@dataclass(frozen=True, slots=True)
class StudentSettings:
    """Everything about a student that is not in its graphs."""

    name: str
    """What traces call the student, before the hash."""

    thresholds: Thresholds
    """At which probabilities the guard acts, calibrated on held-out traces."""

    belief: BeliefWeights
    """How its stages' readings come together."""

    verify_harm: float
    """Steps are verified while the request's probability of being harmful is at least this."""

    verify_alarm: float
    """Steps of other requests are verified where the screen's alarm reaches this, log-odds."""

    request_tokens: int
    """Word pieces of the request that the verifier reads with every step."""

    context_tokens: int
    """Word pieces of the step before that the verifier reads with every step."""

    step_tokens: int
    """Word pieces of the step itself; of a longer one the first and last are read."""

    reading_tokens: int
    """Word pieces that are read at once when the conversation is read."""

    def to_json(self) -> dict[str, Any]:
        """A plain mapping for the manifest."""
        channels = self.thresholds.by_channel.items()
        data = {field.name: getattr(self, field.name) for field in fields(self)}
        data["thresholds"] = {str(channel): asdict(threshold) for channel, threshold in channels}
        data["belief"] = asdict(self.belief)
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """From the manifest. Raises KeyError, TypeError or ValueError if something is off."""
        data = dict(data)
        data["thresholds"] = Thresholds(
            **{name: Threshold(**values) for name, values in data["thresholds"].items()}
        )
        data["belief"] = BeliefWeights(**data["belief"])
        return cls(**data)


@dataclass(frozen=True, slots=True)
class StudentFolder:
    """A checked folder, read into memory."""

    identity: str
    """The name, `@`, and 12 hexadecimal digits of the manifest's hash."""

    settings: StudentSettings
    """Out of the manifest."""

    screen: bytes
    """A serialised ONNX model."""

    encoder: bytes
    """A serialised ONNX model."""

    tokenizer: str
    """A `tokenizer.json`."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads and checks. Raises `DetectorFileError`, saying what is wrong and what to do."""
        manifest_path = folder / MANIFEST
        if not folder.is_dir():
            raise DetectorFileError(f"{folder}: no such folder; name one made by `rerail distill`")
        if not manifest_path.is_file():
            raise DetectorFileError(f"{folder} is no student: it holds no {MANIFEST}")
        raw = _read_bounded(manifest_path, _MAX_MANIFEST_BYTES)
        try:
            manifest = json_of(raw)
            version = manifest["format"]
            if version != FORMAT:
                raise DetectorFileError(
                    f"{folder} has student format {version}, this rerail reads {FORMAT}: "
                    "distil it again, or use the matching version"
                )
            settings = StudentSettings.from_json(manifest["settings"])
            hashes = {name: manifest["files"][name] for name in (SCREEN, ENCODER, TOKENIZER)}
        except DetectorFileError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DetectorFileError(
                f"{manifest_path} is damaged ({error!r}): distil again, or restore the file"
            ) from error
        files = {name: _checked(folder / name, sha256) for name, sha256 in hashes.items()}
        return cls(
            identity=f"{settings.name}@{hashlib.sha256(raw).hexdigest()[:12]}",
            settings=settings,
            screen=files[SCREEN],
            encoder=files[ENCODER],
            tokenizer=files[TOKENIZER].decode(),
        )


def write_manifest(folder: Path, settings: StudentSettings) -> None:
    """Hashes the folder's files and writes the manifest: the last step of an export."""
    manifest = {
        "format": FORMAT,
        "files": {name: _sha256(folder / name) for name in (SCREEN, ENCODER, TOKENIZER)},
        "settings": settings.to_json(),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")


def _read_bounded(path: Path, limit: int) -> bytes:
    size = path.stat().st_size
    if size > limit:
        raise DetectorFileError(f"{path} has {size} bytes, more than the {limit} allowed")
    return path.read_bytes()


def _checked(path: Path, sha256: str) -> bytes:
    if not path.is_file():
        raise DetectorFileError(f"{path} is missing: distil again, or restore the file")
    data = _read_bounded(path, _MAX_FILE_BYTES)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DetectorFileError(
            f"{path} is truncated or altered (its SHA-256 is not the manifest's): "
            "distil again, or restore the file"
        )
    if path.suffix == ".onnx" and _EXTERNAL_DATA.search(data):
        raise DetectorFileError(f"{path} refers to files outside itself, which is not allowed")
    return data


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
