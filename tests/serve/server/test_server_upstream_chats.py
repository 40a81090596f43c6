"""The server in front of an upstream that offers chat completions only."""

import httpx
import pytest
from command_line import CommandLine, refused
from fake_upstream import fake_upstream
from serving import BAD
from upstream_serving import guarded, post

from rerail.guard import GuardConfig, Policy

CHAT_CUE = "say Fine so far. A wicked thing. And more."
PLAIN = ("--no-store", "--detector", "keywords")


@pytest.mark.parametrize("policy", ["block", "audit"])
def test_chats_alone_can_be_blocked_and_audited(policy: str) -> None:
    config = GuardConfig(policy=Policy(policy))
    with fake_upstream(chat_only=True) as upstream, guarded(upstream, config=config) as running:
        calm = post(running, max_tokens=50, seed=1)
        assert calm.json()["choices"][0]["finish_reason"] == "stop"
        cue = post(running, CHAT_CUE, rerail={"report": True}).json()
        (choice,), (entry,) = cue["choices"], cue["rerail"]["choices"]
        assert (BAD in choice["message"]["content"]) is (policy == "audit")
        assert entry["scanned"] == "all" and entry["action"] == policy
        streamed = post(running, CHAT_CUE, stream=True).text
        assert (BAD in streamed) is (policy == "audit")
        wanted = post(running, rerail={"policy": "intervene"})
        assert wanted.status_code == 400 and "chat completions only" in wanted.text
        plain = httpx.post(
            f"{running.url}/v1/completions", json={"model": "up", "prompt": "x"}, timeout=30
        )
        assert plain.status_code == 400 and "chat completions only" in plain.text
        sent = upstream.generations()[0]
        assert sent["messages"] == [{"role": "user", "content": "hello"}]
        assert sent["max_tokens"] == 50 and sent["seed"] == 1


def test_chats_alone_say_why_they_cannot_intervene(rerail: CommandLine) -> None:
    with fake_upstream(chat_only=True) as upstream:
        done = rerail("run", "--model", upstream.url, *PLAIN, "hello")
        refused(done, 1, "chat completions only", "use the policy block or audit")
        served = rerail("serve", upstream.url, *PLAIN, "--port", "0")
        assert served.code == 1 and "chat completions only" in served.err
        done = rerail("run", "--model", upstream.url, *PLAIN, "--policy", "block", "hello")
        assert (done.code, done.err) == (0, "") and "The answer is four." in done.out
