"""`rerail run` as a user runs it, on the embedded model and on folders of all sorts."""

import json
import shutil
import signal
import sqlite3
import subprocess

import pytest
from command_line import RUN, CommandLine, refused
from tiny_models import tiny_model, tiny_tokenizer

from rerail.guard.store import Store
from rerail.guard.store_schema import VERSION_TABLE

REQUEST = "What is 12 + 30?"
NAMESPACE = ("unshare", "--map-root-user", "--mount", "--")


def test_a_result_record(rerail: CommandLine) -> None:
    done = rerail("run", REQUEST, "--json", "--seed", "3")
    assert (done.code, done.err) == (0, "")
    record = json.loads(done.out)
    assert record["valid"] is True
    assert record["action"] == "allow"
    assert record["scanned"] == "all"
    assert 0.0 <= record["score"] < 0.5
    assert record["usage"]["total_tokens"] == (
        record["usage"]["prompt_tokens"] + record["usage"]["completion_tokens"]
    )
    with Store(rerail.store) as store:
        trace = store.get(record["trace_id"])
    assert (trace.reasoning, trace.answer) == (record["reasoning"], record["answer"])
    assert trace.request == REQUEST
    assert trace.model.startswith("sandbox@")
    assert trace.seed == 3


def test_plain_text_in_a_pipe(rerail: CommandLine) -> None:
    """The same text as the record has, without colours and markup, whatever it came from."""
    (rerail.home / "prompt.txt").write_text(REQUEST + "\n")
    given = rerail("run", "--seed", "3", "--no-store", given=REQUEST)
    from_file = rerail("run", "--seed", "3", "--no-store", "--file", "prompt.txt")
    assert given == from_file
    assert (given.code, given.err) == (0, "")
    assert "\x1b" not in given.out and "think>" not in given.out
    record = json.loads(rerail("run", "--seed", "3", "--json", "--no-store", REQUEST).out)
    assert record["trace_id"] is None
    assert given.out.split() == (record["reasoning"] + record["answer"]).split()
    assert not rerail.store.exists()


def test_without_a_guard_nothing_counts_as_checked(rerail: CommandLine) -> None:
    record = json.loads(rerail("run", REQUEST, "--json", "--no-guard").out)
    assert (record["valid"], record["score"], record["scanned"]) == (False, None, "none")


def test_settings_reach_the_guard(rerail: CommandLine) -> None:
    """With a threshold of 0 every step is a cue: audited, all of them pass, and none is valid."""
    arguments = ("run", REQUEST, "--json", "--threshold", "0", "--policy")
    audited = json.loads(rerail(*arguments, "audit").out)
    assert (audited["action"], audited["valid"], audited["interventions"]) == ("audit", False, 0)
    blocked = json.loads(rerail(*arguments, "block").out)
    assert (blocked["action"], blocked["finish_reason"]) == ("block", "content_filter")
    assert blocked["usage"]["rolled_back_tokens"] > 0
    assert "help" in blocked["answer"]


def test_text_can_be_left_out_of_the_store(rerail: CommandLine) -> None:
    assert rerail("run", REQUEST, "--redact").code == 0
    shown = rerail("trace", "show", "--json")
    assert REQUEST not in shown.out and shown.code == 0
    assert b"What is" not in rerail.store.read_bytes()


class TestModelsThatCannotBe:
    def test_a_missing_folder(self, rerail: CommandLine) -> None:
        refused(rerail("run", "x", "--model", "./nowhere"), 1, "nowhere")

    def test_a_folder_that_is_no_model(self, rerail: CommandLine) -> None:
        (rerail.home / "empty").mkdir()
        refused(rerail("run", "x", "--model", "./empty"), 1, "empty", "config.json")

    def test_a_damaged_model(self, rerail: CommandLine) -> None:
        folder = rerail.home / "model"
        tiny_model("llama").save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
        refused(rerail("run", "x", "--model", folder), 1, str(folder))

    def test_a_tokenizer_without_chat_template(self, rerail: CommandLine) -> None:
        folder = rerail.home / "model"
        tiny_model("llama").save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
        (folder / "chat_template.jinja").unlink()
        refused(rerail("run", "x", "--model", folder), 1, "chat template")

    def test_a_name_that_the_hub_does_not_give(self, rerail: CommandLine) -> None:
        refused(rerail("run", "x", "--model", "nobody/nothing"), 1, "nobody/nothing")

    def test_a_device_that_is_not_there(self, rerail: CommandLine) -> None:
        refused(rerail("run", "x", "--device", "cuda:99"), 1, "cuda:99")


class TestStoresThatRefuse:
    def test_one_of_a_newer_schema(self, rerail: CommandLine) -> None:
        assert rerail("run", REQUEST).code == 0
        with sqlite3.connect(rerail.store) as database:
            database.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
        for arguments in (("run", "x"), ("trace", "list"), ("pairs", "purge", "--everything")):
            refused(rerail(*arguments), 1, str(rerail.store), "newer")
        with sqlite3.connect(rerail.store) as database:
            assert database.execute("SELECT count(*) FROM traces").fetchone() == (1,)

    def test_a_full_disk(self, rerail: CommandLine) -> None:
        """The answer is given all the same, the loss is said, and the exit code tells of it."""
        done = _on_small_disk(
            rerail,
            "head -c 8M /dev/zero > disk/ballast; truncate -s -48K disk/ballast",
            ("run", REQUEST, "--store", "disk/rerail.db", "--json", "--threshold", "1"),
        )
        assert done.returncode == 1, done
        record = json.loads(done.stdout)
        assert record["trace_id"] is None and record["reasoning"]
        refused_words = "is not stored: the store disk/rerail.db has no room left"
        assert refused_words in done.stderr and done.stderr.count("\n") == 1

    def test_a_disk_that_is_full_already(self, rerail: CommandLine) -> None:
        """Said before anything is generated."""
        done = _on_small_disk(
            rerail,
            "head -c 8M /dev/zero > disk/ballast",
            ("run", REQUEST, "--store", "disk/rerail.db"),
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert "the store disk/rerail.db" in done.stderr and done.stderr.count("\n") == 1

    def test_a_read_only_disk(self, rerail: CommandLine) -> None:
        done = _on_small_disk(
            rerail,
            "mount -o remount,ro disk",
            ("run", REQUEST, "--store", "disk/rerail.db"),
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert "disk/rerail.db cannot be written (Read-only file system)" in done.stderr
        assert done.stderr.count("\n") == 1


def _on_small_disk(
    rerail: CommandLine, then: str, arguments: tuple[str, ...]
) -> subprocess.CompletedProcess[str]:
    """Runs a command beside a disk of its own, with a store on it, after `then` was done to it."""
    if not shutil.which("unshare") or subprocess.run([*NAMESPACE, "true"]).returncode:
        pytest.skip("no right to mount a small disk in a namespace of its own")
    (rerail.home / "disk").mkdir()
    make = "from rerail.guard.store import Store; Store('disk/rerail.db').close()"
    script = (
        "mount -t tmpfs -o size=2m tmpfs disk\n"
        f'"{RUN[0]}" -c "{make}"\n'
        f"{{ {then}; }} 2>/dev/null\n"
        'exec "$@"\n'
    )
    return subprocess.run(
        [*NAMESPACE, "bash", "-c", script, "bash", *RUN, *arguments],
        capture_output=True,
        text=True,
        cwd=rerail.home,
        env=rerail.environment,
        timeout=540,
    )


def test_an_interrupt_keeps_what_there_is(rerail: CommandLine) -> None:
    """Ctrl-C in the middle: earlier traces stay, and this one is stored as cancelled."""
    assert rerail("run", REQUEST).code == 0
    running = rerail.start(
        *("run", "Tell me all.", "--temperature", "5", "--max-new-tokens", "900"),
        *("--policy", "audit"),
    )
    assert running.stdout is not None
    assert running.stdout.read(1)  # text has come
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 130, err
    assert err.startswith("rerail: interrupted") and err.count("\n") == 1
    with Store(rerail.store, read_only=True) as store:
        reasons = [summary.finish_reason.value for summary in store.summaries()]
    assert reasons == ["cancelled", "stop"]


def test_what_a_model_and_a_user_write_cannot_reach_the_terminal(rerail: CommandLine) -> None:
    assert rerail("run", "Is 3 \x1b[2J\x07 prime?", "--no-guard").code == 0
    for arguments in (("trace", "list"), ("trace", "show")):
        shown = rerail(*arguments)
        assert shown.code == 0
        assert "\x1b" not in shown.out and "\x07" not in shown.out
        assert r"\x1b" in shown.out


def test_a_trace_that_is_not_there(rerail: CommandLine) -> None:
    assert rerail("run", REQUEST, "--no-guard", "--max-new-tokens", "2").code == 0
    refused(rerail("trace", "show", "zz"), 1, "'zz'")
