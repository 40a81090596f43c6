"""`rerail serve` in front of `vllm serve`, against `vllm serve` by itself: latency and throughput.

Both are asked for the same greedy completions of the same prompts by the same load generator, in
turns. The shipped student reads everything, with a threshold that it never reaches. Text leaves
rerail step by step, and that a step has ended shows in the token after it: what is compared is when
the first piece of text arrives, with when the character after it arrives from vLLM alone. That
delay is what is added to the time to first token beyond the hold-back; what the last piece is later
by, less the delay, over the tokens between, is what is added between tokens. Half of the requests
are new to the detector, which reads them; the other half it remembers, as those of a conversation
that goes on.

vLLM's worker runs in the engine's process, as it does on a GPU. On a CPU vLLM by itself gives it a
process of its own, for which the engine's polls all the time: on two cores what is measured then is
who gets a core. `--worker-apart` measures that, too.

Both servers, this load generator and vLLM share the machine's cores, so what rerail computes for a
token takes its time from the engine: on its own core it would add less.

vLLM is found as the tests find it (RERAIL_VLLM, this Python, the PATH).
"""

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from figures import Figure, report

sys.path.insert(0, str(Path(__file__).parents[1]))
from server_process import running_command
from vllm_server import ARGUMENTS, MODEL, VllmServer, vllm_python, vllm_serve

from rerail.guard.tokenizer_folder import FolderTokenizer
from rerail.train.sandbox.kinds import Kind
from rerail.train.sandbox.world import prompts

COMMAND = "python tests/bench/bench_server.py"
SERVE = "import sys; from rerail.serve.cli import main; sys.exit(main())"
WORKER_APART = "--worker-apart"
IN_PROCESS = (
    "--distributed-executor-backend",
    "vllm.v1.executor.uniproc_executor.UniProcExecutor",
)
NUM_TOKENS, NUM_TOKENS_OF_MANY = 60, 120
NUM_STREAMS = 32
NUM_PAIRS = 80
NUM_RATES = 4


@dataclass(frozen=True, slots=True)
class Arrivals:
    """One answer: when its pieces came, in seconds from the request, and how long its text is."""

    pieces: list[tuple[float, int]]
    """Time, and characters that are there by then."""

    num_tokens: int

    def at(self, num_chars: int) -> float:
        """When so many characters were there."""
        return next(when for when, chars in self.pieces if chars >= num_chars)


async def ask(client: httpx.AsyncClient, prompt: str, num_tokens: int = NUM_TOKENS) -> Arrivals:
    body = {"model": MODEL, "prompt": prompt, "max_tokens": num_tokens, "temperature": 0}
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    if "rerail" not in client.headers:
        body |= {"add_special_tokens": False, "skip_special_tokens": False}
    began = time.perf_counter()
    pieces: list[tuple[float, int]] = []
    chars = num_generated = 0
    async with client.stream("POST", "/v1/completions", json=body) as response:
        assert response.status_code == 200, await response.aread()
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                record = json.loads(line[6:])
                text = record["choices"][0]["text"] if record["choices"] else ""
                chars += len(text)
                if text:
                    pieces.append((time.perf_counter() - began, chars))
                if record.get("usage"):
                    num_generated = record["usage"]["completion_tokens"]
    return Arrivals(pieces, num_generated)


@dataclass(frozen=True, slots=True)
class Pair:
    """One request behind rerail and straight, in milliseconds."""

    first_alone: float
    added_first: float
    added_each: float

    @classmethod
    def of(cls, straight: Arrivals, behind: Arrivals) -> "Pair":
        num_chars = straight.pieces[-1][1]
        assert behind.pieces[-1][1] == num_chars, "not the same text"
        assert behind.num_tokens == straight.num_tokens
        when, chars = behind.pieces[0]
        at = straight.at(min(chars + 1, num_chars))
        delay = when - at
        between = sum(time > at for time, _ in straight.pieces)
        last = behind.pieces[-1][0] - straight.pieces[-1][0]
        return cls(
            1000 * straight.pieces[0][0], 1000 * delay, 1000 * (last - delay) / max(1, between)
        )


async def pairs(
    alone: httpx.AsyncClient, guarded: httpx.AsyncClient, asked: list[str]
) -> list[Pair]:
    """Each prompt, in turns; who asks first has vLLM's cache against him, so that changes too."""
    found: list[Pair] = []
    for number, prompt in enumerate(asked):
        if number % 2:
            straight = await ask(alone, prompt)
            behind = await ask(guarded, prompt)
        else:
            behind = await ask(guarded, prompt)
            straight = await ask(alone, prompt)
        found.append(Pair.of(straight, behind))
    return found


async def rate(client: httpx.AsyncClient, asked: list[str]) -> float:
    """Tokens a second of all streams together."""
    began = time.perf_counter()
    answers = await asyncio.gather(*(ask(client, prompt, NUM_TOKENS_OF_MANY) for prompt in asked))
    return sum(each.num_tokens for each in answers) / (time.perf_counter() - began)


@contextmanager
def rerail_serve(vllm: VllmServer) -> Generator[str]:
    """The server in front, and its address."""
    command = [sys.executable, "-c", SERVE, "serve", vllm.url, "--port", "0", "--no-store"]
    options = ["--tokenizer", str(vllm.folder), "--threshold", "1", "--threshold-inside", "1"]
    with running_command([*command, *options]) as server:  # its log has to be read all the while
        yield server.url


async def measure(vllm_url: str, rerail_url: str, asked: list[str]) -> list[Figure]:
    apart = WORKER_APART in sys.argv
    where = ", vLLM's worker in a process of its own" if apart else ""
    command = f"{COMMAND} {WORKER_APART}" if apart else COMMAND
    limits = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(base_url=vllm_url, timeout=300, limits=limits) as alone,
        httpx.AsyncClient(
            base_url=rerail_url, timeout=300, limits=limits, headers={"rerail": "1"}
        ) as guarded,
    ):
        warm, new = asked[:4], asked[4 : 4 + NUM_PAIRS // 2]
        await pairs(alone, guarded, warm)
        fresh = await pairs(alone, guarded, new)
        known = await pairs(alone, guarded, new)
        streams = asked[-NUM_STREAMS:]
        await rate(guarded, streams)  # vLLM's cache and the detector's memory: alike for both
        rates = [
            (await rate(guarded, streams), await rate(alone, streams)) for _ in range(NUM_RATES)
        ]
    ratios = [one / other for one, other in rates]
    both = fresh + known
    first = statistics.median(each.first_alone for each in both)
    return [
        Figure(
            f"`rerail serve` before `vllm serve`{where}: added time to the first text, median",
            "at most one step's hold-back and 2 ms",
            f"hold-back and {_median([each.added_first for each in both])} ms; of requests new to "
            f"the detector {_median([each.added_first for each in fresh])} ms, of others "
            f"{_median([each.added_first for each in known])} ms (vLLM's own first token: "
            f"{first:.1f} ms)",
            command,
        ),
        Figure(
            f"the same{where}, added between tokens, median",
            "at most 0.5 ms",
            f"{_median([each.added_each for each in both])} ms",
            command,
        ),
        Figure(
            f"the same{where}, throughput at {NUM_STREAMS} streams, guarded / straight",
            "-",
            f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}; "
            f"{statistics.median(other for _, other in rates):,.0f} tokens/s straight)",
            command,
        ),
    ]


def _median(values: list[float]) -> str:
    """With the quartiles, which say how much of it is the machine's."""
    low, middle, high = statistics.quantiles(values)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def rendered(folder: Path) -> list[str]:
    """Harmless requests of the sandbox, as its template writes them."""
    tokenizer = FolderTokenizer.from_folder(folder)
    found = prompts("test", Kind.HARMLESS, num=4 + NUM_PAIRS // 2 + NUM_STREAMS, seed=3)
    return [
        tokenizer.apply_chat_template(
            list(each.messages), tokenize=False, add_generation_prompt=True
        )
        for each in found
    ]


@contextmanager
def vllm() -> Generator[VllmServer]:
    """One of our own, or the one that RERAIL_VLLM_URL names."""
    given = os.environ.get("RERAIL_VLLM_URL")
    if given is None:
        further = () if WORKER_APART in sys.argv else IN_PROCESS
        with vllm_serve((*ARGUMENTS, *further)) as server:
            yield server
        return
    from rerail.train.sandbox.shipped import model_folder

    yield VllmServer(given, model_folder())


def main() -> None:
    if vllm_python() is None and "RERAIL_VLLM_URL" not in os.environ:
        sys.stderr.write("there is no vLLM here: set RERAIL_VLLM\n")
        return
    with vllm() as server, rerail_serve(server) as url:
        report(asyncio.run(measure(server.url, url, rendered(server.folder))))


if __name__ == "__main__":
    main()
