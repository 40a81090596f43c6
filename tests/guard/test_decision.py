"""The decision table and the settings behind it."""

import pytest

from rerail.guard import Channel, GuardConfig, OnDetectorError, Policy, Threshold, Thresholds
from rerail.guard import WhenSpent as Spent
from rerail.guard.decision import Verdict, decide, decide_on_failure

THRESHOLD = Threshold(inside=0.9, end=0.5)


@pytest.mark.parametrize(
    ("probability", "at_end", "policy", "left", "spent", "verdict"),
    [
        (0.49, True, Policy.INTERVENE, 1, Spent.REFUSE, Verdict.RELEASE),
        (0.5, True, Policy.INTERVENE, 1, Spent.REFUSE, Verdict.INTERVENE),
        (0.89, False, Policy.INTERVENE, 1, Spent.REFUSE, Verdict.HOLD),
        (0.9, False, Policy.INTERVENE, 1, Spent.REFUSE, Verdict.INTERVENE),
        (0.95, True, Policy.AUDIT, 1, Spent.REFUSE, Verdict.AUDIT),
        (0.95, False, Policy.BLOCK, 1, Spent.REFUSE, Verdict.REFUSE),
        (0.95, True, Policy.INTERVENE, 0, Spent.REFUSE, Verdict.REFUSE),
        (0.95, True, Policy.INTERVENE, 0, Spent.STOP, Verdict.STOP),
        (0.95, True, Policy.INTERVENE, 0, Spent.AUDIT, Verdict.AUDIT),
        (0.0, True, Policy.BLOCK, 0, Spent.STOP, Verdict.RELEASE),
    ],
)
def test_table(
    probability: float, at_end: bool, policy: Policy, left: int, spent: Spent, verdict: Verdict
) -> None:
    got = decide(
        probability,
        at_step_end=at_end,
        threshold=THRESHOLD,
        policy=policy,
        when_spent=spent,
        interventions_left=left,
    )
    assert got is verdict


def test_failure_is_closed_by_default() -> None:
    default = GuardConfig()
    assert decide_on_failure(default.on_detector_error, default.policy) is Verdict.REFUSE
    assert decide_on_failure(OnDetectorError.RELEASE, Policy.INTERVENE) is Verdict.AUDIT
    assert decide_on_failure(OnDetectorError.REFUSE, Policy.AUDIT) is Verdict.AUDIT


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"threshold": 1.5}, "threshold is 1.5: give a number from 0 to 1"),
        ({"threshold_inside": -0.1}, "from 0 to 1"),
        ({"threshold": float("nan")}, "from 0 to 1"),
        ({"hold": 0}, "at least 1 token"),
        ({"hold": "words"}, "hold is 'words'"),
        ({"hold": True}, "hold is True"),
        ({"policy": "maybe"}, "use one of intervene, audit, block"),
        ({"max_interventions": -1}, "0 or more"),
        ({"refusals": ()}, "refusal"),
        ({"refusals": (" ",)}, "refusal"),
        ({"max_step_chars": 3}, "at least 20"),
        ({"replace_triggers": True}, "triggers file"),
    ],
)
def test_wrong_settings_say_what_to_do(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        GuardConfig(**settings)  # type: ignore[arg-type]


def test_settings_from_words() -> None:
    config = GuardConfig(policy="block", when_spent="stop")  # type: ignore[arg-type]
    assert config.policy is Policy.BLOCK
    assert config.when_spent is Spent.STOP


def test_thresholds_in_force() -> None:
    calibrated = Thresholds(Threshold(0.9, 0.5), Threshold(0.95, 0.6), Threshold(0.8, 0.4))
    assert GuardConfig().thresholds(calibrated) == calibrated
    raised = GuardConfig(threshold=0.93).thresholds(calibrated)
    assert raised.reasoning == Threshold(inside=0.93, end=0.93)
    assert raised.answer == Threshold(inside=0.95, end=0.93)
    assert GuardConfig(threshold_inside=0.7).thresholds(calibrated).tool_call.inside == 0.7


def test_budget_is_per_channel() -> None:
    config = GuardConfig(max_interventions=4, max_answer_interventions=3, max_tool_interventions=0)
    assert [config.budget(channel) for channel in Channel] == [4, 3, 0]
