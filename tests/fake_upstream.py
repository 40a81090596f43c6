"""A small HTTP server that behaves like an upstream in text mode, or like one that knows chats
only, and misbehaves where it is told to. It listens on a loopback port, in a thread of its own."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from talker import DEFAULT, SAFE, tokens_of

OPENING = "<assistant><think>\n"
HEAD = "HTTP/1.1 {} x\r\ncontent-type: {}\r\n"


@dataclass
class FakeUpstream:
    """`say TEXT` in a request makes it generate TEXT; kept text makes it say `SAFE`."""

    chat_only: bool = False
    renders: bool = True
    api_key: str | None = None
    max_model_len: int | None = 4000
    delay_s: float = 0.0
    group: int = 1
    """Tokens in a chunk."""

    fault: str | None = None
    """What goes wrong: status (`500`), `refuse`, `stall head`, `stall`, `cut`, `no end`, `garbage`,
    `error`, `no stream`, `huge`, `abort`."""

    num_faults: int = 1 << 30
    """So many generations go wrong, then all is well."""

    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    num_connections: int = 0
    num_open: int = 0
    num_left: int = 0
    """Streams whose client went before their end."""

    url: str = ""

    def generations(self) -> list[dict[str, Any]]:
        return [body for _, body in self.requests if body.get("stream")]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode().split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                path = lines[0].split()[1]
                record = json.loads(body) if body else {}
                self.requests.append((path, record))
                if self.api_key and headers.get("authorization") != f"bearer {self.api_key}":
                    self._answer(writer, 401, {"error": {"message": "wrong key"}})
                elif record.get("stream"):
                    await self._stream(path, record, reader, writer)
                else:
                    self._answer(writer, *self._plain(path, record))
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    def _answer(self, writer: asyncio.StreamWriter, status: int, record: Any) -> None:
        body = json.dumps(record).encode()
        head = HEAD.format(status, "application/json") + f"content-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)

    def _plain(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/v1/models":
            card = {"id": "up", "object": "model", "max_model_len": self.max_model_len}
            return 200, {"data": [card]}
        if path == "/v1/completions" and not self.chat_only:
            if isinstance(body["prompt"], list):
                return 400, {"error": {"message": "prompts are texts"}}
            return 200, {"choices": [{"text": "x", "finish_reason": "length"}]}
        if path == "/apply-template" and self.renders and not self.chat_only:
            turns = "".join(f"<{each['role']}>{each['content']}" for each in body["messages"])
            return 200, {"prompt": turns + OPENING}
        if path == "/tokenize" and self.renders and "content" in body:
            single = body["content"] in ("<think>", "</think>")
            return 200, {"tokens": [1] if single else list(range(len(body["content"].split()) + 1))}
        return 404, {"error": {"message": f"no {path} here"}}

    async def _stream(
        self,
        path: str,
        body: dict[str, Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        fault = self.fault if self.num_faults > 0 else None
        self.num_faults -= fault is not None
        if fault is not None and fault.isdecimal():
            self._answer(writer, int(fault), {"error": {"message": "quoting SECRET"}})
            return
        if fault == "stall head":
            await reader.read()
        if fault == "refuse":
            writer.close()
            return
        if fault == "no stream":
            self._answer(writer, 200, {"choices": [{"text": "all at once"}]})
            return
        self.num_open += 1
        ended = False
        watching = asyncio.ensure_future(reader.read(1))
        try:
            head = HEAD.format(200, "text/event-stream") + "transfer-encoding: chunked\r\n\r\n"
            writer.write(head.encode())
            async for data in self._events(path, body, fault):
                if data is None:
                    await watching  # until the client goes
                    return
                writer.write(b"%x\r\n%s\r\n" % (len(data), data))
                await writer.drain()
                if watching.done():
                    return
            ended = True
            if fault == "cut":
                writer.close()
            else:
                writer.write(b"0\r\n\r\n")
        finally:
            self.num_open -= 1
            self.num_left += not ended
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            if not ended:
                writer.close()

    async def _events(
        self, path: str, body: dict[str, Any], fault: str | None
    ) -> AsyncIterator[bytes | None]:
        tokens = tokens_of(self._text(path, body))[: body.get("max_tokens", 1 << 30)]
        for number in range(0, len(tokens), self.group):
            await asyncio.sleep(self.delay_s)
            if number == 5 and fault is not None:
                match fault:
                    case "stall":
                        yield None
                    case "cut" | "no end":
                        return
                    case "garbage":
                        yield b"data: {not json\n\n"
                    case "huge":
                        yield b"data: " + b"x" * (5 << 20)
                    case "error":
                        yield b'data: {"error": {"message": "quoting SECRET", "code": 500}}\n\n'
                    case "abort":
                        yield self._chunk(path, "", "abort")
                    case _:
                        raise AssertionError(f"no fault is called {fault}")
            text = "".join(token.text for token in tokens[number : number + self.group])
            yield self._chunk(path, text, None)
        reason = "length" if len(tokens) == body.get("max_tokens") else "stop"
        yield self._chunk(path, "", reason) + b"data: [DONE]\n\n"

    def _text(self, path: str, body: dict[str, Any]) -> str:
        if path == "/v1/chat/completions":
            request, kept = body["messages"][-1]["content"], ""
        else:
            before, _, kept = body["prompt"].rpartition(OPENING)
            request = before.rpartition("<user>")[2]
        if kept:
            return SAFE
        return request.removeprefix("say ") if request.startswith("say ") else DEFAULT

    def _chunk(self, path: str, text: str, reason: str | None) -> bytes:
        choice: dict[str, Any] = {"index": 0, "finish_reason": reason}
        if path == "/v1/chat/completions":
            choice["delta"] = {"content": text}
        else:
            choice["text"] = text
        return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


@contextmanager
def fake_upstream(**options: Any) -> Generator[FakeUpstream]:
    """The server, while the context lasts."""
    upstream = FakeUpstream(**options)
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def run() -> None:
        server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
        upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        started.set()
        await server.serve_forever()

    running = loop.create_task(run())
    thread = threading.Thread(target=loop.run_until_complete, args=[_until_cancelled(running)])
    thread.start()
    assert started.wait(10)
    try:
        yield upstream
    finally:
        loop.call_soon_threadsafe(running.cancel)
        thread.join(10)
        loop.close()


async def _until_cancelled(running: asyncio.Task[None]) -> None:
    await asyncio.gather(running, return_exceptions=True)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def upstream_process(**options: Any) -> Generator[tuple[subprocess.Popen[str], str]]:
    """The same as a process of its own, which can be killed, and its address."""
    command = [sys.executable, __file__, json.dumps(options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def main() -> None:
    with fake_upstream(**json.loads(sys.argv[1])) as upstream:
        sys.stdout.write(f"{upstream.url}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
