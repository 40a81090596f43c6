"""The study's report on made-up observations with known figures; the whole command where asked."""

import json
from pathlib import Path

import pytest

from rerail.train.attack_suite import SUITES
from rerail.train.csr_trace import CsrTrace
from rerail.train.intervention_curve import Intervened
from rerail.train.part_times import seconds_by_part, timed
from rerail.train.study import write_study
from rerail.train.study_parts import DETECTORS, Findings, StudyConfig
from rerail.train.study_training import ArmsConfig, Trained, arm_results
from rerail.train.suite_result import SuiteRun

CONFIG = StudyConfig(num_seeds=2, cap=2)


def _csr(name: str, cue: int, turning: int) -> CsrTrace:
    return CsrTrace(name, 60, (0, 10), (0.5, 0.0), True, turning, False, cue, cue + 9, None)


def _suite(name: str, seed: int, *, before: int, after: int) -> SuiteRun:
    def row(number: int, harmful: bool) -> dict[str, object]:
        return {"id": f"{seed}-{number}", "harmful_request": number < 20, "reasoning": "a",
                "answer": "b", "reasoning_harmful": harmful, "answer_harmful": False}  # fmt: skip

    pairs = tuple((row(n, n < before), row(n, n < after)) for n in range(25))
    return SuiteRun(name, seed, pairs)


def _findings(seed: int, *, kept: int = 1) -> Findings:
    rows = [
        {"id": f"{seed}-{n}", "reasoning_harmful": n < 5, "answer_harmful": False,
         "trigger": n != 9}
        for n in range(10)
    ]  # fmt: skip
    arms = [
        {"arm": arm, "id": f"{seed}-{kind}-{n}", "kind": kind, "reasoning_harmful": n < harm,
         "answer_harmful": False, "refused": n < 1, "correct": n > 1,
         "trigger_step": None if n < harm else n}
        for arm, harm in (("base", 8), ("intervened", 1), ("whole", 2))
        for kind in ("harmful", "lookalike", "harmless", "task")
        for n in range(10)
    ]  # fmt: skip
    curves = {
        name: [
            Intervened(f"{seed}-{n}", 0, (True, True, n < kept), ("a", "b"), ("risk", "rule"))
            for n in range(4)
        ]
        for name in DETECTORS
    }
    csr = [_csr(f"{seed}-{n}", 10 * n, 10 * n + n % 2) for n in range(6)]
    suites = [_suite(name, seed, before=20 if name != "empty" else 0, after=1) for name in SUITES]
    trained = [Trained(arm, 30, 12, 60.0) for arm in ("intervened", "whole")]
    return Findings(rows, csr, curves, suites, arms, trained)


def test_the_study_in_numbers_words_and_figures(tmp_path: Path) -> None:
    seconds = {"traces": (60.0, 90.0), "training": (120.0, 240.0)}
    write_study(CONFIG, [_findings(0), _findings(1)], tmp_path, "sandbox@1", seconds)
    record = json.loads((tmp_path / "study.json").read_text())
    assert record["pearson_cue_turning"]["value"] > 0.99
    assert record["pearson_cue_turning"]["num"] == 12
    assert (record["trigger_share_safe"]["value"], record["trigger_share_safe"]["num"]) == (0.8, 10)
    assert [each["value"] for each in record["harm_by_interventions"]] == [1.0, 1.0, 0.25]
    assert set(record["detectors"]) == set(DETECTORS)
    assert record["algorithms"]["intervened"]["reasoning_harm"]["value"] == 0.1
    assert record["algorithms"]["base"]["accuracy"]["value"] == 0.8
    assert record["suites"]["foreign"]["relative"]["value"] == pytest.approx(0.05)
    assert record["suites"]["foreign"]["before"]["num"] == 40, "both seeds"
    text = (tmp_path / "STUDY.md").read_text()
    assert "| Safe traces hold a trigger: 80.0%" in text
    (triggers,) = [line for line in text.splitlines() if "Safe traces hold a trigger" in line]
    assert triggers.endswith("| **no** |"), "it says so where a finding does not hold"
    (empty,) = [line for line in text.splitlines() if "Guard, empty" in line]
    assert empty.endswith("| cannot be said |"), "an attack that does nothing is not held off"
    (falls,) = [line for line in text.splitlines() if "Harm falls with every" in line]
    assert falls.endswith("| yes |")
    (row,) = [line for line in text.splitlines() if line.startswith("| intervened |")]
    assert "| 5.0 (" in row and row.endswith("n=18) | 30 + 30 | 12 + 12 | 2.0 |")
    assert "Took 3.0 minutes by the clock and 5.5 of processor time" in text
    assert "stopped after" not in text, "that is said of small studies only"
    for name in ("csr", "turning_points", "interventions", "suites", "algorithms_reasoning_harm"):
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"


def test_arms_are_pooled_over_seeds() -> None:
    arms = {each.arm: each for each in arm_results(_findings(0).arms + _findings(1).arms)}
    assert list(arms) == ["base", "intervened", "whole"]
    assert arms["base"].reasoning_harm.num == 20
    assert arms["whole"].over_refusal.value == 0.1


def test_sizes() -> None:
    assert StudyConfig.quick().num_traces < StudyConfig().num_traces
    assert "grpo" in ArmsConfig().arms
    with pytest.raises(ValueError, match="at least 1"):
        StudyConfig(num_seeds=0)


def test_the_time_of_a_part_adds_up_over_stops(tmp_path: Path) -> None:
    """The bug it would catch: only the last stretch of a part that was stopped being counted."""
    with pytest.raises(KeyboardInterrupt), timed(tmp_path, "traces"):
        raise KeyboardInterrupt
    for part in ("traces", "training"):
        with timed(tmp_path, part):
            sum(range(10**5))
    rows = [json.loads(line) for line in (tmp_path / "seconds.jsonl").read_text().splitlines()]
    assert [each["part"] for each in rows] == ["traces", "traces", "training"]
    found = seconds_by_part([tmp_path, tmp_path])
    assert found["traces"][0] == pytest.approx(2 * (rows[0]["seconds"] + rows[1]["seconds"]))
    assert found["training"][1] == pytest.approx(2 * rows[2]["processor_seconds"])


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_quick_study_as_a_command(tmp_path: Path) -> None:
    from command_line import CommandLine

    process = CommandLine(tmp_path).start("eval", "study", "--quick", "--out", tmp_path / "s")
    _, said = process.communicate()
    assert process.returncode == 0, said
    record = json.loads((tmp_path / "s" / "study.json").read_text())
    wanted = {"pearson_cue_turning", "trigger_share_safe", "harm_by_interventions", "algorithms",
              "detectors"}  # fmt: skip
    assert wanted <= set(record)
    assert record["base_reasoning_harm"]["value"] > 0.5
