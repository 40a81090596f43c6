"""`rerail serve` in front of `vllm serve`, against `vllm serve` by itself: latency and throughput.

Both are asked for the same greedy completions of the same prompts by the same load generator, in
turns. The shipped student reads everything, with a threshold that it never reaches. Text leaves
rerail step by step, so its first text cannot come before the step's last token: what is compared is
when a piece of text arrives, with when the last of its characters arrives from vLLM alone. The
delay of the first piece is what is added to the time to first token beyond the hold-back; what the
last piece is later by, over the tokens, is what is added between tokens.

vLLM is found as the tests find it (RERAIL_VLLM, this Python, the PATH).
"""

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from figures import Figure, report

sys.path.insert(0, str(Path(__file__).parents[1]))
from server_process import running_command
from vllm_server import MODEL, VllmServer, vllm_python, vllm_serve

from rerail.guard.tokenizer_folder import FolderTokenizer
from rerail.train.sandbox.kinds import Kind
from rerail.train.sandbox.world import prompts

COMMAND = "python tests/bench/bench_server.py"
SERVE = "import sys; from rerail.serve.cli import main; sys.exit(main())"
NUM_TOKENS = 120
NUM_STREAMS = 32
ROUNDS = 12


@dataclass(frozen=True, slots=True)
class Arrivals:
    """One answer: when its pieces came, in seconds from the request, and how long its text is."""

    pieces: list[tuple[float, int]]
    """Time, and characters that are there by then."""

    num_tokens: int

    def at(self, num_chars: int) -> float:
        """When so many characters were there."""
        return next(when for when, chars in self.pieces if chars >= num_chars)


async def ask(client: httpx.AsyncClient, prompt: str) -> Arrivals:
    body = {"model": MODEL, "prompt": prompt, "max_tokens": NUM_TOKENS, "temperature": 0}
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    if "rerail" not in client.headers:
        body |= {"add_special_tokens": False, "skip_special_tokens": False}
    began = time.perf_counter()
    pieces: list[tuple[float, int]] = []
    chars = num_tokens = 0
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
                    num_tokens = record["usage"]["completion_tokens"]
    return Arrivals(pieces, num_tokens)


async def latencies(
    alone: httpx.AsyncClient, guarded: httpx.AsyncClient, asked: list[str]
) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds: to vLLM's first token; added to the first piece; added per token."""
    first, added_first, added_each = [], [], []
    for number, prompt in enumerate(asked):
        if number % 2:
            straight = await ask(alone, prompt)
            behind = await ask(guarded, prompt)
        else:
            behind = await ask(guarded, prompt)
            straight = await ask(alone, prompt)
        assert behind.pieces[-1][1] == straight.pieces[-1][1], "not the same text"
        assert behind.num_tokens == straight.num_tokens
        when, chars = behind.pieces[0]
        delay = when - straight.at(chars)
        last = behind.pieces[-1][0] - straight.pieces[-1][0]
        first.append(1000 * straight.pieces[0][0])
        added_first.append(1000 * delay)
        added_each.append(1000 * (last - delay) / straight.num_tokens)
    return first, added_first, added_each


async def rate(client: httpx.AsyncClient, asked: list[str]) -> float:
    """Tokens a second of all streams together."""
    began = time.perf_counter()
    answers = await asyncio.gather(*(ask(client, prompt) for prompt in asked))
    return sum(each.num_tokens for each in answers) / (time.perf_counter() - began)


@contextmanager
def rerail_serve(vllm: VllmServer) -> Iterator[str]:
    """The server in front, and its address."""
    command = [sys.executable, "-c", SERVE, "serve", vllm.url, "--port", "0", "--no-store"]
    options = ["--tokenizer", str(vllm.folder), "--threshold", "1", "--threshold-inside", "1"]
    with running_command([*command, *options]) as server:  # its log has to be read all the while
        yield server.url


async def measure(vllm_url: str, rerail_url: str, asked: list[str]) -> list[Figure]:
    limits = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(base_url=vllm_url, timeout=300, limits=limits) as alone,
        httpx.AsyncClient(
            base_url=rerail_url, timeout=300, limits=limits, headers={"rerail": "1"}
        ) as guarded,
    ):
        await latencies(alone, guarded, asked[:4])  # warms both up
        first, added_first, added_each = await latencies(alone, guarded, asked[:ROUNDS])
        streams = asked[:NUM_STREAMS]
        rates = [
            (await rate(guarded, streams), await rate(alone, streams)) for _ in range(ROUNDS // 4)
        ]
    ratios = [one / other for one, other in rates]
    return [
        Figure(
            "`rerail serve` before `vllm serve`: added time to the first text, median",
            "at most one step's hold-back and 2 ms",
            f"hold-back and {statistics.median(added_first):.2f} ms "
            f"(vLLM's own first token: {statistics.median(first):.1f} ms)",
            COMMAND,
        ),
        Figure(
            "the same, added between tokens, median",
            "at most 0.5 ms",
            f"{statistics.median(added_each):.3f} ms",
            COMMAND,
        ),
        Figure(
            f"the same, throughput at {NUM_STREAMS} streams, guarded / straight",
            "-",
            f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}; "
            f"{statistics.median(other for _, other in rates):,.0f} tokens/s straight)",
            COMMAND,
        ),
    ]


def rendered(folder: Path) -> list[str]:
    """Harmless requests of the sandbox, as its template writes them."""
    tokenizer = FolderTokenizer.from_folder(folder)
    found = prompts("test", Kind.HARMLESS, num=max(ROUNDS, NUM_STREAMS), seed=3)
    return [
        tokenizer.apply_chat_template(
            list(each.messages), tokenize=False, add_generation_prompt=True
        )
        for each in found
    ]


@contextmanager
def vllm() -> Iterator[VllmServer]:
    """One of our own, or the one that RERAIL_VLLM_URL names."""
    given = os.environ.get("RERAIL_VLLM_URL")
    if given is None:
        with vllm_serve() as server:
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
