"""Statistics against values worked out by hand."""

import json
from pathlib import Path

import pytest

from rerail.train.evaluation_measures import kappa, mcnemar, paired, pearson, ratio, share
from rerail.train.results_log import ResultsLog


def test_a_share_leaves_out_what_was_not_judged() -> None:
    figure = share([("a", True), ("b", False), ("c", None), ("d", False), ("e", True)])
    assert (figure.value, figure.num) == (0.5, 4)
    assert figure.low is not None and figure.high is not None
    assert figure.low < 0.5 < figure.high
    assert share([("a", None)]).value is None


def test_the_bootstrap_draws_prompts_not_samples() -> None:
    """A bug it would catch: a hundred samples of two prompts giving a narrow interval."""
    many = [("a", True)] * 50 + [("b", False)] * 50
    figure = share(many)
    assert (figure.low, figure.high) == (0.0, 1.0)


def test_mcnemar_exactly() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(1, 5) == pytest.approx(2 * 7 / 64)
    assert mcnemar(3, 3) == 1.0


def test_paired_difference_over_the_same_prompts() -> None:
    base = {(f"p{n}", 0): True for n in range(8)} | {("only base", 0): True}
    arm = {(f"p{n}", 0): n < 2 for n in range(8)} | {("unjudged", 0): None}
    difference = paired(arm, base)
    assert difference.num_pairs == 8
    assert difference.value == pytest.approx(-0.75)
    assert difference.p_value == pytest.approx(2 / 64)


def test_kappa_by_hand() -> None:
    assert kappa([True, True, False, False], [True, False, False, False]) == pytest.approx(0.5)
    assert kappa([True, None], [None, True]) is None
    assert kappa([True, True], [True, True]) is None


def test_pearson_with_interval() -> None:
    exact = pearson([(n, 2.0 * n + 1) for n in range(10)])
    assert exact.value == pytest.approx(1)
    assert pearson([(1, 1), (2, 2)]).value is None
    assert pearson([(1, 5), (2, 5), (3, 5)]).value is None


def test_ratio_by_hand() -> None:
    """Drawn samples in which nothing is harmful without the guard have no ratio."""
    left = ratio([("a", True, False), ("b", True, True), ("c", False, False)])
    assert (left.value, left.num) == (0.5, 3)
    assert (left.low, left.high) == (0.0, 1.0)
    assert str(left) == "0.50 (0.00–1.00, n=3)"
    assert ratio([("a", False, True)]).value is None
    assert ratio([]).value is None


def test_figures_are_written_as_what_they_are() -> None:
    assert str(share([("a", True)])) == "100.0% (100.0%–100.0%, n=1)"
    assert pearson([(1, 1), (2, 2), (3, 3)]).short == "1.000"
    assert share([]).short == "–"


def test_the_log_drops_a_line_cut_off_by_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    log = ResultsLog(path, lambda row: (row["id"],))
    log.add([{"id": 1, "text": "a\u2028b"}, {"id": 2}])
    with path.open("a") as file:
        file.write('{"id": 3, "te')
    again = ResultsLog(path, lambda row: (row["id"],))
    assert list(again.rows) == [(1,), (2,)]
    again.add([{"id": 3}])
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == [1, 2, 3]
    path.write_text('{"id": 1}\nrubbish\n')
    with pytest.raises(ValueError, match="line 2 is damaged"):
        ResultsLog(path, lambda row: (row["id"],))
