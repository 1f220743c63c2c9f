"""Scripts that misbehave: each ends as rows, dead letters or one sentence, and never takes the job or the machine along."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worker.conftest import Job, eventually

OBEDIENT = """
import ctypes, os, re, subprocess, sys, time
def init():
    pass
def run(mini_batch):
    for path in mini_batch:
        exec(open(path).read())
    return [os.path.basename(path) for path in mini_batch]
"""
"""Does what the items say."""

MISDEEDS = {
    "hangs-in-c": ("ctypes.CDLL(None).sleep(100_000)", "took longer than"),
    "hangs-in-a-regex": ("re.match(r'(a+)+$', 'a' * 60 + 'b')", "took longer than"),
    "hangs-deaf": (
        "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65)); time.sleep(1e6)",
        "took longer than",
    ),
    "exits": ("os._exit(0)", "exited with code 0"),
    "segfaults": ("ctypes.string_at(0)", "SIGSEGV"),
    "aborts": ("os.abort()", "SIGABRT"),
    "closes-ours": ("os.closerange(3, 256)", ""),
    "closes-all": ("os.closerange(0, 256)", ""),
    "babbles": (
        "for fd in range(3, 256):\n    try: os.write(fd, b'garbage' * 1000)\n    except OSError: pass",
        "",
    ),
    "kills-its-parent": ("os.kill(os.getppid(), 9); time.sleep(1)", ""),
    "system-exit": ("sys.exit(3)", "3"),
    "keyboard-interrupt": ("raise KeyboardInterrupt", ""),
    "generator-exit": ("raise GeneratorExit", ""),
    "unprintable": ("raise type('E', (Exception,), {'__str__': lambda self: 1 / 0})()", "cannot be printed"),
    "unpicklable": ("raise type('E', (Exception,), {'__reduce__': lambda self: 1 / 0})(lambda: 0)", ""),
    "no-memory": ("raise MemoryError", ""),
    "recursion": ("f = lambda f: f(f)\nf(f)", "recursion"),
    "surrogates": ("raise ValueError('\\ud800' + 'x' * 100_000)", ""),
    "group": ("raise ExceptionGroup('many', [ValueError(str(n)) for n in range(100)])", "many"),
}
QUICK = {"retry_settings": {"max_retries": 0, "timeout": 3}}


def test_each_misdeed_is_one_dead_letter_and_the_others_are_scored(make_job: Callable[..., Job]) -> None:
    good = [f"good-{number:02}" for number in range(20)]
    files = {name: code for name, (code, _) in MISDEEDS.items()} | dict.fromkeys(good, "pass")
    job = make_job("misdeeds").files(files).script(OBEDIENT)
    result = job.run(mini_batch_size=1, **QUICK)
    assert [line.strip('"') for line in job.predictions().decode().splitlines()[1:]] == good
    assert (result["succeeded"], result["failed"]) == (len(good), len(MISDEEDS))
    letters = {letter["item"]: letter["message"] for letter in job.dead_letters()}
    assert letters.keys() == MISDEEDS.keys()
    for name, (_, sentence) in MISDEEDS.items():
        assert sentence in letters[name], (name, letters[name])
        assert len(letters[name]) <= 2_000
    assert "Traceback" not in job.log


def test_what_a_slot_has_started_ends_with_it(job: Job) -> None:
    """Two hundred sleeping children, in the slot's session: all are gone when the slot is."""
    pids = job.folder / "pids"
    spawn = "' '.join(str(subprocess.Popen(['sleep', '1000']).pid) for _ in range(200))"
    job.script(OBEDIENT).files(
        {"3.csv": f"import pathlib; pathlib.Path({str(pids)!r}).write_text({spawn}); os.kill(os.getpid(), 9)"}
    )
    assert job.run(mini_batch_size=2, **QUICK)["failed"] == 1
    children = pids.read_text().split()
    assert len(children) == 200
    eventually(lambda: not any(_lives(pid) for pid in children))


def _lives(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def test_gigabytes_printed_are_dropped(job: Job) -> None:
    job.script(
        "import os, sys\ndef init(): pass\ndef run(b):\n    line = b'y' * 99_999 + b'\\n'\n"
        "    for _ in range(2_000): os.write(1, line); os.write(2, line)\n    return b\n"
    )
    assert job.run(mini_batch_size=6)["succeeded"] == 6
    assert len(job.log) < 3_000_000


@pytest.mark.parametrize(
    "written",
    [
        'b\'{"outcome": "done", "failed": 0}\'',
        "b'\\xff' * 10_000",
    ],
)
def test_a_result_that_a_script_wrote_is_overwritten(job: Job, written: str) -> None:
    """Its place is not told to scripts; one that guesses it changes nothing."""
    result = job.folder / "score.json"
    job.script(
        f"import os\ndef init(): pass\ndef run(b):\n    assert 'BATCH_ENDPOINTS_RESULT' not in os.environ\n"
        f"    open({str(result)!r}, 'wb').write({written})\n    return b\n"
    )
    job.do("plan")
    assert job.do("score", "--instance", "0")["items"] == 6
    assert job.do("publish")["succeeded"] == 6


def test_inputs_changed_by_the_script_do_not_change_the_count(job: Job) -> None:
    job.script("def init(): pass\ndef run(b):\n    b += ['more'] * 5\n    b.reverse()\n    del b[:8]\n    return b\n")
    result = job.run(mini_batch_size=6)
    assert result["failed"] == 3, "three results for six items"


def test_columns_and_types_that_change_from_batch_to_batch(job: Job) -> None:
    job.script(
        "import os, pandas as pd\ndef init(): pass\ndef run(b):\n    n = int(os.path.basename(b[0])[0])\n"
        "    return [pd.DataFrame({'a': [1]}), pd.DataFrame({'a': [1.5], 'b': ['x']}), ['text'], [(1, 2)], [{'a': None}],"
        " pd.DataFrame({'a': [float('inf')]})][n]\n"
    )
    assert job.run(mini_batch_size=1, output_file_name="p.parquet")["rows"] == 6


RETURNED = (
    "set(b)", "iter([])", "[object() for _ in b]", "[b'\\xff' for _ in b]", "[2**200 for _ in b]", "[{1: 2} for _ in b]",
    "[[1, 'x', None] for _ in b]", "[float('nan')]", "[float('inf')]", "[None]", "[{'a': {'b': [1]}} for _ in b]",
)  # fmt: skip


@pytest.mark.parametrize("name", ["p.csv", "p.parquet", "p.jsonl"])
def test_whatever_is_returned_is_rows_or_failures_in_every_format(make_job: Callable[..., Job], name: str) -> None:
    job = make_job("returns").files({f"{number:02}": code for number, code in enumerate(RETURNED)})
    job.script("def init(): pass\ndef run(b): return eval(open(b[0]).read())\n")
    result = job.run(mini_batch_size=1, output_file_name=name, **QUICK)
    assert (result["succeeded"], result["failed"], result["rows"]) == (len(RETURNED) - 1, 1, len(RETURNED) - 1)
    assert [letter["item"] for letter in job.dead_letters()] == ["01"]
