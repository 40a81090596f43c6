"""Options of every command that asks a judge model."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from ..train.evaluation_judges import JudgePlace


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeEndpoint:
    """Where the judge model is."""

    judge_model: str | None = None
    """The judge model's name at --judge-url, or its name or folder where there is no address."""

    judge_url: str | None = None
    """The address of an OpenAI-compatible server that has it, such as https://host/v1."""

    judge_api_key: Annotated[str | None, Parameter(env_var="RERAIL_JUDGE_API_KEY")] = None
    """For that server. Others on this machine can read it here: prefer RERAIL_JUDGE_API_KEY in the
    environment."""

    @property
    def place(self) -> "JudgePlace":
        """As judges take it."""
        from ..train.evaluation_judges import JudgePlace

        return JudgePlace(model=self.judge_model, url=self.judge_url, api_key=self.judge_api_key)
