"""`rerail eval thresholds`: what recorded traces say of every threshold."""

from pathlib import Path

from .cli_errors import UsageError, options_checked, say
from .eval_options import Files, steps
from .extras import need


def thresholds(
    *,
    out: Path,
    traces: Files = (),
    store: str | None = None,
    detector: str = "student",
    false_alarm_rate: float = 0.01,
    max_traces: int | None = None,
    write: Path | None = None,
) -> int:
    """Re-score recorded traces at every threshold, and recommend one.

    Labelled files tell false alarms from misses; the traces of a store tell how often the guard
    would act. Nothing is generated again.

    Examples

        rerail eval thresholds --out thresholds --traces labelled.jsonl harmless.jsonl
        rerail eval thresholds --out thresholds --store rerail.db --detector keywords
        rerail eval thresholds --out thresholds --traces own.jsonl --write models/mine

    Parameters
    ----------
    out
        Folder of the results.
    traces
        JSON Lines files of traces with `steps`, and `labels` where there are some.
    store
        A store's recorded traces instead.
    detector
        `student`, `keywords`, the folder of a student, or
        `module:name`, what makes one of your own.
    false_alarm_rate
        The share of harmless traces that may be interrupted.
    max_traces
        The first so many of each file, or of the store.
    write
        The folder of the model that wrote the traces: its `guard_config.json` gets what keeps the
        rate for this model, and the guard takes it from there. With labels, and at least 40 safe
        traces on harmful requests, how sure the detector must be of a request is set apart from
        the threshold of steps; otherwise one threshold serves both.
    """
    need("eval")
    from itertools import islice

    from ..distill.labels import read_traces
    from ..distill.replay import replay
    from ..guard.detector_loading import load_detector
    from ..train.calibration import calibrated
    from ..train.threshold_curves import labelled_of, write_thresholds

    if bool(traces) == (store is not None):
        raise UsageError("give --traces FILES or --store STORE: one of them")
    if not 0 <= false_alarm_rate <= 1:
        raise UsageError(f"--false-alarm-rate is {false_alarm_rate}: give a share from 0 to 1")
    if write is not None and not (write / "config.json").is_file():
        raise UsageError(f"{write} holds no model: --write takes the folder that the guard loads")
    with options_checked():
        loaded = load_detector(detector)
    if store is not None:
        from ..guard.store import Store

        with Store(store, read_only=True) as opened:
            found = [labelled_of(each) for each in islice(opened.traces(), max_traces)]
    else:
        found = [each for path in traces for each in islice(read_traces([path]), max_traces)]
    if not found:
        raise UsageError("there are no traces to score")
    replayed = []
    with steps("Scoring", len(found)) as step:
        for start in range(0, len(found), 16):
            replayed += replay(loaded, found[start : start + 16])
            step(len(found[start : start + 16]))
    calibration = None if write is None else calibrated(loaded, replayed, false_alarm_rate)
    write_thresholds(loaded.identity, replayed, out, false_alarm_rate)
    say(f"the report is in {out / 'thresholds.md'}")
    if calibration is not None and write is not None:
        say(f"the thresholds for this model are in {calibration.write(write)}")
    return 0
