"""The request's extension field `rerail`: how it is to be guarded, and what to report.

It can make the guard stricter, looser or audit only, but has no word for leaving it out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..guard import GuardConfig
from .wire_errors import ApiError, invalid

_SETTINGS: Mapping[str, type | tuple[type, ...]] = {
    "policy": str,
    "hold": (str, int),
    "threshold": (int, float),
    "threshold_inside": (int, float),
    "max_interventions": int,
    "max_answer_interventions": int,
    "max_tool_interventions": int,
    "when_spent": str,
}
"""Fields of `GuardConfig` that a request may set; those for failures stay the server's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedGuard:
    """The field's content, checked."""

    report: bool = False
    """Whether the answer says what happened."""

    topic: str | None = None
    """What the trace is filed under."""

    settings: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def read(value: Any) -> "RequestedGuard":
        """Raises `ApiError` for anything that is not understood."""
        if not isinstance(value, dict):
            raise invalid("rerail", 'give an object, such as {"report": true}')
        options = {name: each for name, each in value.items() if each is not None}
        report, topic = options.pop("report", False), options.pop("topic", None)
        if not isinstance(report, bool):
            raise invalid("rerail.report", "give true or false")
        if topic is not None and not (
            isinstance(topic, str) and 0 < len(topic) <= 200 and topic.isprintable()
        ):
            raise invalid("rerail.topic", "give a line of up to 200 characters")
        for name, each in options.items():
            kind = _SETTINGS.get(name)
            if kind is None:
                known = ", ".join(("report", "topic", *_SETTINGS))
                raise ApiError(
                    400,
                    f"rerail.{name} is no option of a request: use {known}",
                    param=f"rerail.{name}",
                    code="unknown_parameter",
                )
            if isinstance(each, bool) or not isinstance(each, kind):
                raise invalid(f"rerail.{name}", f"{each!r} is of the wrong type")
        return RequestedGuard(report=report, topic=topic, settings=options)

    def over(self, config: GuardConfig) -> GuardConfig:
        """These settings over the server's. Raises `ApiError` for a value out of range."""
        if not self.settings:
            return config
        try:
            return replace(config, **self.settings)
        except ValueError as error:
            raise invalid("rerail", str(error)) from error
