"""`rerail train watch`: rounds beside a server, from the pairs that its store collects."""

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..guard.server_address import root_of
from ..train.rounds_config import RoundsConfig
from .cli_errors import UsageError, options_checked, say
from .extras import need
from .options import Sampling, StorePlace

if TYPE_CHECKING:
    from ..train.current import Current


def watch(
    *,
    out: Path,
    min_pairs: int = 100,
    every_s: float | None = None,
    poll_s: float = 10.0,
    max_rounds: int | None = None,
    served_as: str | None = None,
    vllm: str | None = None,
    lora_name: str = "rerail",
    place: StorePlace = StorePlace(),  # noqa: B008  (frozen: sharing it is harmless)
    sampling: Sampling = Sampling(),  # noqa: B008
    run: Annotated[RoundsConfig, Parameter(name="*")] = RoundsConfig(num_harmful=0),  # noqa: B008
) -> None:
    """Train on what a server's interventions leave in its store, a round at a time.

    When enough new pairs are in the store, they are completed, a round is trained and gated, and
    what is promoted is written to `promoted.json` in the folder: a server that was started with
    `rerail serve --follow` takes it up between two requests. Stop it with Ctrl-C; the same command
    goes on where it was.

    Examples

        rerail serve --follow watch/promoted.json
        rerail train watch --out watch --min-pairs 200
        rerail train watch --model ./my-model --prompts prompts.jsonl --promotion stack \\
            --vllm http://127.0.0.1:8000 --served-as my-model --out watch

    Parameters
    ----------
    out
        The watch's folder: a folder a round, and `promoted.json`.
    min_pairs
        New pairs in the store that begin a round.
    every_s
        Begin one after so many seconds all the same, if there is any new pair.
    poll_s
        Seconds between two looks.
    max_rounds
        End after so many.
    served_as
        The model's name in the store; by default that of a server of this version.
    vllm
        A vLLM server (started with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True and --enable-lora) that
        is to load the promoted adapter; needs `--promotion stack`.
    lora_name
        The model name under which it serves the adapter.
    """
    if vllm is not None and run.promotion != "stack":
        raise UsageError("--vllm loads adapters over one base: give --promotion stack too")
    if vllm is not None:
        with options_checked():  # now, and not after the first round
            root_of(vllm, "leave them out")
    need("train")
    from ..train.watch import Surroundings, WatchConfig
    from ..train.watch import watch as run_watch
    from .cli_train import set_up
    from .models import continuations
    from .vllm_adapters import load_adapter

    with options_checked():
        watching = WatchConfig(
            min_pairs=min_pairs,
            every_s=every_s,
            poll_s=poll_s,
            max_rounds=max_rounds,
            served_as=served_as,
        )
    set_up(run.model)
    stop = threading.Event()

    def end(*_: object) -> None:
        say("ending after the round under way; a second time ends at once")
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def hand_over(current: "Current") -> None:
        adapter = current.weights.adapter
        if vllm is not None and adapter is not None:
            load_adapter(vllm, lora_name, adapter)
            say(f"{vllm} serves it as {lora_name}")

    def completing(model: Any, tokenizer: Any) -> Any:
        return continuations(model, tokenizer, sampling, run.seed)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    with place.open() as store:
        reports = run_watch(
            run, watching, store, out, Surroundings(completing, hand_over, say, stop)
        )
    promoted = sum(each.promoted for each in reports)
    say(f"{len(reports)} rounds, {promoted} promoted: {out / 'report.md'}")
