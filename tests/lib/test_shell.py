"""jobbers-task: tasks that are shell scripts, run by a real daemon and from a terminal."""
import json
import os
import socket
import subprocess

import pytest
from conftest import BINDIR, lay_out
from harness import until

PROGRAM = BINDIR / "jobbers-task"


@pytest.fixture
def sh_task(make_daemon):
    """define(name, script, **keys): a task whose PATH has jobbers-task."""
    d = make_daemon(slots=4)
    directory = lay_out(d, PROGRAM)
    define = d.define

    def define_with_path(name, script, **keys):
        define(name, f"set -e\n{script}", Environment=f"PATH={directory}:/usr/bin:/bin", **keys)
    d.define = define_with_path
    return d


def test_the_example_of_the_manual_page(sh_task):
    sh_task.define("copy", """
directory=$(jobbers-task parameter directory /srv)
[ -d "$directory" ] || exec jobbers-task fail NoSuchDirectory "there is no $directory"
[ -e @DATA@/backup ] || exec jobbers-task retry NotMounted "the backup disk is not there"
jobbers-task progress 0 "copying $directory"
cp -a "$directory" @DATA@/backup/
jobbers-task progress 90 "measuring"
jobbers-task result directory="$directory" kib:="$(du -sk "@DATA@/backup/${directory##*/}" | cut -f 1)"
""", MaxRetries=1, MaxHeartbeatIntervalSec="1h")
    sh_task.start()
    t = sh_task.run("copy", parameters={"directory": "/nosuch"})
    assert t["status"] == "failed" and (t["attempts"][0]["error_type"], t["last_error"]) == ("NoSuchDirectory", "there is no /nosuch")
    directory = sh_task.path("data", 'a "b" \\')
    os.mkdir(directory)
    t = sh_task.run("copy", parameters={"directory": directory})
    assert [a["exit_status"] for a in t["attempts"]] == [75, 75] and t["attempts"][0]["error_type"] == "NotMounted"
    os.mkdir(sh_task.path("data", "backup"))
    os.chmod(sh_task.path("data", "backup"), 0o777)
    t = sh_task.run("copy", parameters={"directory": directory})
    assert t["status"] == "completed", t
    assert t["results"]["directory"] == directory and isinstance(t["results"]["kib"], int)
    assert (t["progress"], t["status_text"]) == (90, "measuring")


def test_every_word_is_heard(sh_task):
    """jobbers-task is gone at once, and the kernel says that somebody spoke who is no more: it has to wait until it was heard."""
    sh_task.define("talk", "for i in $(seq 1 30); do jobbers-task progress $i step $i; done; jobbers-task status 'the last word'; jobbers-task heartbeat; "
                           "echo said >@BOX@; read -r x <@GATE@")
    sh_task.start()
    task_id = sh_task.submit("talk")
    sh_task.box.line()
    # the daemon hears of it a moment later: its supervisor gathers what comes in quick succession
    until(lambda: (lambda t: (t["progress"], t["status_text"]) == (30, "the last word"))(sh_task.status(task_id)), "all of it is known")
    sh_task.gate.open()
    assert sh_task.wait_final(task_id)["status"] == "completed"
    assert "cannot tell" not in sh_task.ask("GET", f"/task/{task_id}/logs").text


def test_a_timeout_is_extended(sh_task):
    sh_task.define("long", "jobbers-task extend-timeout '1min 5s'; echo go >@BOX@; sleep 2", TimeoutSec="1", MaxRetries=0)
    sh_task.start()
    assert sh_task.run("long")["status"] == "completed"


def test_heartbeats_keep_a_task_alive(sh_task):
    sh_task.define("alive", "for i in 1 2 3 4 5 6 7 8; do sleep 0.25; jobbers-task heartbeat; done", MaxHeartbeatIntervalSec="1s")
    sh_task.define("silent", "sleep 60", MaxHeartbeatIntervalSec="500ms")
    sh_task.start()
    silent = sh_task.submit("silent")
    assert sh_task.run("alive")["status"] == "completed"
    assert until(lambda: sh_task.status(silent)["status"] == "stalled", "the silent one is noticed")


# ── from a shell ──


def by_hand(*words, given="", status=0, **environment):
    p = subprocess.run([PROGRAM, *words], input=given, text=True, capture_output=True, timeout=60, env=environment)
    assert p.returncode == status, p
    return p


@pytest.mark.parametrize("name, text", [("s", 'a "b"\n'), ("i", "7"), ("f", "2.5"), ("b", "true"), ("o", '{"x":[1]}'), ("x/y~", "found")])
def test_parameters(tmp_path, name, text):
    given = {"s": 'a "b"\n', "i": 7, "f": 2.5, "b": True, "o": {"x": [1]}, "x/y~": "found", "n": None}
    (tmp_path / "p").write_text(json.dumps(given))
    assert by_hand("parameter", name, JOBBERS_PARAMETERS=str(tmp_path / "p")).stdout == text + "\n"
    assert by_hand("parameter", name, given=json.dumps(given)).stdout == text + "\n"
    assert by_hand("parameter", "n", "other", given=json.dumps(given)).stdout == "other\n"
    assert 'no parameter "none"' in by_hand("parameter", "none", given=json.dumps(given), status=1).stderr
    assert json.loads(by_hand("parameters", given=json.dumps(given)).stdout) == given


def test_results(tmp_path):
    result = tmp_path / "result"

    def kept(*words, given=""):
        by_hand("result", *words, given=given, JOBBERS_RESULT=str(result))
        return json.loads(result.read_text())
    assert kept("a=1", "b:=1", "c=x=y", 'd:={"e": [null]}', "f=") == {"a": "1", "b": 1, "c": "x=y", "d": {"e": [None]}, "f": ""}
    assert kept("-", given='{"from": "stdin"}') == {"from": "stdin"}
    assert kept() == {}
    kept("price:=19.99")
    assert result.read_text() == '{"price":19.99}'
    by_hand("result", "a:=[", status=2)
    by_hand("result", "a", status=2)
    by_hand("result", "-", given="[1]", status=1)
    by_hand("result", "-", given="", status=1)
    by_hand("result", "a=b", status=1, JOBBERS_RESULT=str(tmp_path / "none" / "result"))
    assert kept("last=1") == {"last": "1"}


def test_what_is_said_outside_of_a_task_goes_nowhere():
    for words in (["heartbeat"], ["progress", "50", "half"], ["status", "x"], ["extend-timeout", "5"]):
        p = by_hand(*words, given="not for jobbers-task")
        assert (p.stdout, p.stderr) == ("", "")
    assert json.loads(by_hand("fail", "Type", "some", "words", status=1).stdout) == {"error": {"type": "Type", "message": "some words"}}
    assert json.loads(by_hand("retry", "Type", "words", status=75).stdout)["error"]["type"] == "Type"


def test_a_socket_that_is_gone_ends_no_script(tmp_path):
    p = by_hand("progress", "50", NOTIFY_SOCKET=str(tmp_path / "none"))
    assert "cannot tell" in p.stderr
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(tmp_path / "gone"))
    assert "Connection refused" in by_hand("heartbeat", NOTIFY_SOCKET=str(tmp_path / "gone")).stderr


@pytest.mark.parametrize("words", [[], ["nosuch"], ["progress"], ["progress", "101"], ["progress", "x"], ["parameter"], ["extend-timeout", "soon"], ["fail", "T"],
                                   ["heartbeat", "x"]])
def test_wrong_usage(words):
    p = by_hand(*words, status=2)
    assert p.stderr.startswith("jobbers-task: ") and p.stdout == ""


def test_help():
    text = by_hand("--help").stdout
    assert by_hand("-h").stdout == text and by_hand("--version").stdout.startswith("jobbers-task 0")
    for verb in ("parameter", "heartbeat", "progress", "status", "extend-timeout", "result", "fail", "retry"):
        assert f"\n  {verb} " in text
    assert all(len(line) <= 80 for line in text.splitlines())
