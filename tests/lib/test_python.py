"""The Python module: tasks that use it, run by a real daemon, and its client."""
import datetime
import errno
import importlib.util
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import threading

import jobbers
import pytest
from conftest import HERE, PYTHONDIR, lay_out
from harness import until
from test_c import FakeDaemon, answer_of, connections

PYTHON = "/usr/bin/python3"


def test_it_is_the_installed_module_and_needs_nothing():
    assert pathlib.Path(jobbers.__file__).parent == PYTHONDIR
    program = "import sys; before = set(sys.modules); import jobbers; print(*(set(sys.modules) - before))"
    out = subprocess.run([PYTHON, "-IB", "-c", f"import sys; sys.path.insert(0, {str(PYTHONDIR)!r}); {program}"], check=True, capture_output=True, text=True).stdout
    loaded = {name.split(".")[0] for name in out.split()} - {"jobbers"}
    assert loaded <= sys.stdlib_module_names | {"_opcode"}
    # what every task would pay for at its start
    assert not loaded & {"asyncio", "http", "ssl", "urllib", "email", "datetime", "subprocess"}
    assert jobbers.__version__ == re.search(r"^VERSION := (.*)$", (HERE.parents[1] / "Makefile").read_text(), re.M)[1]


# ── tasks ──


@pytest.fixture
def py_task(make_daemon):
    d = make_daemon(slots=4)
    directory = lay_out(d, PYTHONDIR / "jobbers.py", HERE / "task_in_python.py")
    os.chmod(directory / "task_in_python.py", 0o755)
    common = (f"ExecStart={directory}/task_in_python.py\nMaxHeartbeatIntervalSec=1h\nEnvironment=PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={directory} "
              "BOX=@BOX@ GATE=@GATE@\n")
    d.file("py.task", f"[Task]\nName=py\nVersion=2\n{common}TimeoutSec=1h\nRetryOn=TEMPFAIL\nMaxRetries=1\n")
    d.file("typed.task", f"[Task]\nName=typed\nVersion=2\n{common}RetryOn=KeyError\nMaxRetries=2\n")
    d.file("short.task", f"[Task]\nName=short\nVersion=2\n{common}TimeoutSec=1500ms\nMaxRetries=0\n")
    return d.start()


def run(d, do, name="py", **given):
    return d.run(name, 2, parameters={"do": do, **given})


def test_a_task_knows_what_it_is(py_task):
    t = run(py_task, "facts", x=[1, {"ä": None}])
    assert t["status"] == "completed", t
    assert t["results"] == {"id": t["id"], "name": "py", "queue": "default", "version": 2, "attempt": 1, "retry_attempt": 0, "interval": 3600.0,
                            "given": {"x": [1, {"ä": None}]}}


def test_heartbeat_progress_and_status_arrive(py_task):
    t = run(py_task, "beat")
    assert (t["status"], t["progress"], t["status_text"], t["results"]) == ("completed", 100, "all done", {}), t


def test_a_child_is_heard_that_ends_at_once(py_task):
    t = run(py_task, "child")
    assert (t["status"], t["progress"], t["status_text"]) == ("completed", 42, "said by a child"), t


def test_an_exception_is_a_failure_of_its_type(py_task):
    t = run(py_task, "raise")
    assert t["status"] == "failed" and t["last_error"] == "'nosuch'" and len(t["attempts"]) == 1
    assert (t["attempts"][0]["exit_status"], t["attempts"][0]["error_type"]) == (1, "KeyError")
    assert "Traceback" in py_task.ask("GET", f"/task/{t['id']}/logs").text
    # …that RetryOn= can list
    t = run(py_task, "raise", name="typed")
    assert t["status"] == "failed" and [a["error_type"] for a in t["attempts"]] == ["KeyError"] * 3


def test_expected_exceptions(py_task):
    t = run(py_task, "busy")
    assert [(a["exit_status"], a["error_type"]) for a in t["attempts"]] == [(75, "VeryBusy")] * 2 and t["last_error"].startswith("try again")
    assert run(py_task, "nothing")["attempts"][0]["error"] == "Busy"


def test_fail_and_retry(py_task):
    t = run(py_task, "fail")
    assert t["status"] == "failed" and (t["attempts"][0]["error_type"], t["last_error"]) == ("NoSource", "there is no source")
    t = run(py_task, "retry")
    assert t["status"] == "completed" and t["results"] == {"retry": 1, "n": 2}
    assert (t["attempts"][0]["exit_status"], t["attempts"][0]["error_type"], t["attempts"][0]["error"]) == (75, None, "busy")


@pytest.mark.parametrize("do, error", [("list", "TypeError"), ("nan", "ValueError")])
def test_results_that_are_none(py_task, do, error):
    t = run(py_task, do)
    assert t["status"] == "failed" and t["attempts"][0]["error_type"] == error


def test_parameters_that_do_not_fit(py_task):
    py_task.file("strict.task", f"[Task]\nName=strict\nVersion=1\nExecStart={PYTHON} -c 'from jobbers import task; task.run(lambda n: None)'\n"
                                f"Environment=PYTHONPATH={py_task.path('lib')} PYTHONDONTWRITEBYTECODE=1\n")
    py_task.reload()
    t = py_task.run("strict", 1, parameters={"m": 1})
    assert t["status"] == "failed" and t["attempts"][0]["error_type"] == "TypeError" and "'m'" in t["last_error"]
    assert py_task.run("strict", 1, parameters={"n": 1})["status"] == "completed"


@pytest.mark.parametrize("do, word", [("hold", "cleaned"), ("together", "cancelled")])
def test_a_cancelled_task_cleans_up(py_task, do, word):
    task_id = py_task.submit("py", 2, parameters={"do": do})
    assert py_task.box.line() == "waiting"
    py_task.cancel(task_id)
    assert py_task.box.line() == word
    t = py_task.wait_final(task_id)
    assert t["status"] == "cancelled" and t["attempts"][0]["exit_status"] == 143, t
    assert py_task.box.empty()


def test_a_timeout_is_extended(py_task):
    assert run(py_task, "extend", name="short")["status"] == "completed"


def by_hand(program, given="", status=0, **environment):
    p = subprocess.run([PYTHON, "-B", "-c", "from jobbers import task\n" + program], input=given, text=True, capture_output=True, timeout=60,
                       env={"PYTHONPATH": str(PYTHONDIR), **environment})
    assert p.returncode == status, p
    return p


def test_started_from_a_shell():
    p = by_hand("task.run(lambda **given: (task.heartbeat(), task.progress(50, 'x'), task.flush(), given)[-1])", '{"a": "ä"}')
    assert json.loads(p.stdout) == {"a": "ä"}
    assert by_hand("task.run(lambda **given: given)").stdout == "{}\n"
    p = by_hand("task.fail('Type', 'words')", status=1)
    assert json.loads(p.stdout) == {"error": {"type": "Type", "message": "words"}} and p.stderr == "words\n"
    assert "not a JSON object" in by_hand("task.run(lambda **given: given)", "[1]", status=1).stderr


def test_heartbeats_are_limited_and_wait_for_nobody(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(tmp_path / "notify"))
        by_hand("for i in range(100000): task.heartbeat()", NOTIFY_SOCKET=str(tmp_path / "notify"))
        s.setblocking(False)
        said = []
        try:
            while True:
                said.append(s.recv(1000))
        except BlockingIOError:
            pass
    assert 1 <= len(said) <= 10 and set(said) == {b"WATCHDOG=1"}
    by_hand("task.heartbeat()", NOTIFY_SOCKET=str(tmp_path / "none"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(f"\0jobbers-test-{tmp_path.name}-{os.getpid()}")
        by_hand("task.status('abstract')", NOTIFY_SOCKET=f"@jobbers-test-{tmp_path.name}-{os.getpid()}")
        assert s.recv(1000) == b"STATUS=abstract"


# ── clients ──


@pytest.fixture
def client(daemon):
    with jobbers.Client(daemon.socket_path) as c:
        yield c


def test_from_submission_to_result(daemon, client):
    task_id = client.submit("echo", {"n": 7, "s": "ä"}, version=1, priority=3)
    t = client.wait(task_id)
    assert t["status"] == "completed" and t["results"] == {"n": 7, "s": "ä"} and t["priority"] == 3
    assert client.status(task_id) == t
    assert client.run("echo", {"a": 1}, version=1, queue="default") == {"a": 1}
    with pytest.raises(jobbers.TaskFailed) as e:
        client.run("fail", version=1)
    assert e.value.record["status"] == "failed" and e.value.record["id"] in str(e.value) and "exit status 1" in str(e.value)


def test_ids_of_ones_own(daemon, client):
    mine = jobbers.new_id()
    assert client.submit("ok", version=1, id=mine) == mine == client.submit("ok", version=1, id=mine)
    with pytest.raises(jobbers.Error) as e:
        client.submit("fail", version=1, id=mine)
    assert e.value.status == 409
    assert len({jobbers.new_id() for _ in range(1000)}) == 1000 and jobbers.new_id()[:8] >= mine[:8]


def test_many_at_once(daemon, client):
    ids = client.submit_many([{"name": "ok", "version": 1}, {"name": "echo", "version": 1, "parameters": {"n": 2}}])
    assert [client.wait(i)["name"] for i in ids] == ["ok", "echo"]
    with pytest.raises(jobbers.Error):
        client.submit_many([{"name": "ok", "version": 1}, {"name": "nosuch"}])
    more = client.submit_many([{"name": "ok", "version": 1}] * 120)
    for i in more:
        client.wait(i)
    assert {t["id"] for t in client.tasks(status="completed", task_name="ok", limit=50)} == {ids[0], *more}


@pytest.mark.parametrize("run_at, earliest", [("2099-01-01T00:00:00+02:00", "2098-12-31T22:00"), (datetime.timedelta(days=36500), "2126"),
                                              (datetime.datetime(2099, 1, 1, tzinfo=datetime.timezone.utc), "2099-01-01T00:00:00.0")])
def test_later(daemon, client, run_at, earliest):
    t = client.status(client.submit("ok", version=1, run_at=run_at))
    assert t["status"] == "scheduled" and t["scheduled_at"] >= earliest and t["scheduled_at"][:4] <= "2127"


def test_what_the_daemon_refuses(daemon, client):
    with pytest.raises(jobbers.Error, match="nosuch") as e:
        client.submit("nosuch")
    assert e.value.status == 400 and not isinstance(e.value, jobbers.NotFound)
    with pytest.raises(jobbers.NotFound) as e:
        client.status(jobbers.new_id())
    assert e.value.status == 404
    with pytest.raises(jobbers.Error) as e:
        client.submit("ok", version="x")
    assert e.value.status == 422 and e.value.errors[0]["loc"]
    with pytest.raises(jobbers.Error) as e:
        client.status("../queues")
    assert e.value.status in (404, 422)


def test_wait_ends_in_time(daemon, client):
    task_id = client.submit("hold", version=1)
    daemon.box.line()
    with pytest.raises(TimeoutError, match="started"):
        client.wait(task_id, timeout=0.2)
    with pytest.raises(TimeoutError):
        client.wait(task_id, timeout=0)
    daemon.gate.open()
    assert client.wait(task_id, timeout=60)["status"] == "completed"


def test_cancel_and_resubmit(daemon, client):
    task_id = client.submit("hold", version=1)
    daemon.box.line()
    client.cancel(task_id)
    client.cancel(task_id)
    assert client.wait(task_id)["status"] == "cancelled"
    client.cancel(task_id)
    client.resubmit(task_id)
    daemon.box.line()
    daemon.gate.open()
    assert client.wait(task_id)["status"] == "completed"
    with pytest.raises(jobbers.Error) as e:
        client.cancel(task_id)
    assert e.value.status == 409


def test_wait_outlives_the_daemon(daemon, client):
    daemon.define("kept", "echo start >@BOX@; read -r x <@GATE@", OnShutdown="resubmit")
    daemon.reload()
    task_id = client.submit("kept", version=1)
    daemon.box.line()
    found = []
    waiting, before = threading.Thread(target=lambda: found.append(client.wait(task_id))), connections(daemon)
    waiting.start()
    until(lambda: connections(daemon) > before, "it waits")
    daemon.kill9()
    daemon.start()
    daemon.gate.open(2)
    waiting.join(60)
    assert found and found[0]["status"] == "completed"


def test_logs(daemon, client):
    daemon.define("talk", "echo one; echo two; echo ready >@BOX@; read -r x <@GATE@; echo three")
    daemon.reload()
    task_id = client.submit("talk", version=1)
    daemon.box.line()
    lines = client.logs(task_id, follow=True)
    seen = []
    for line in lines:
        seen.append(line)
        if line == "two":
            daemon.gate.open()
    assert [s for s in seen if not s.startswith("-- ")] == ["one", "two", "three"] and seen[-1].startswith("-- ")
    assert [s for s in client.logs(task_id) if not s.startswith("-- ")] == ["one", "two", "three"]
    with pytest.raises(jobbers.NotFound):
        list(client.logs(jobbers.new_id()))


def test_over_tcp_with_a_token(daemon, tmp_path, monkeypatch):
    token = tmp_path / "token"
    token.write_text(daemon.token + "\n")
    for c in (jobbers.Client(f"127.0.0.1:{daemon.port}", token=daemon.token), jobbers.Client(f"http://localhost:{daemon.port}/", token_file=token)):
        assert c.run("echo", {"n": 1}, version=1) == {"n": 1}
    monkeypatch.setenv("JOBBERS_TOKEN_FILE", str(token))
    assert jobbers.Client(f"127.0.0.1:{daemon.port}").call("GET", "/queues")["queues"]
    with pytest.raises(jobbers.Error) as e:
        jobbers.Client(f"127.0.0.1:{daemon.port}", token="wrong").call("GET", "/queues")
    assert e.value.status == 401
    monkeypatch.delenv("JOBBERS_TOKEN_FILE")
    monkeypatch.setattr(jobbers, "TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(jobbers.Error) as e:
        jobbers.Client(f"127.0.0.1:{daemon.port}").call("GET", "/queues")
    assert e.value.status == 401
    with pytest.raises(jobbers.Error, match="cannot read the token"):
        jobbers.Client(f"127.0.0.1:{daemon.port}", token_file=tmp_path / "none").call("GET", "/queues")


def test_addresses(daemon, tmp_path, monkeypatch):
    monkeypatch.setenv("JOBBERS_SOCKET", daemon.socket_path)
    assert jobbers.Client().call("GET", "/queues")["queues"]
    assert jobbers.Client("unix:" + daemon.socket_path).call("GET", "/queues")["queues"]
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert jobbers.Client("user").socket == "/run/user/7/jobbers/jobbers.sock"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert jobbers.Client("user").socket == "/state/jobbers/run/jobbers.sock"
    assert jobbers.Client("system").socket == "/run/jobbers/jobbers.sock"
    monkeypatch.delenv("JOBBERS_SOCKET")
    monkeypatch.setattr(os, "geteuid", lambda: 7)
    monkeypatch.setattr(jobbers, "SYSTEM_SOCKET", daemon.socket_path)
    assert jobbers.Client().socket == daemon.socket_path
    monkeypatch.setattr(jobbers, "SYSTEM_SOCKET", str(tmp_path / "none"))
    assert jobbers.Client().socket == jobbers.Client("user").socket
    with pytest.raises(jobbers.Unreachable, match="systemctl --user start"):
        jobbers.Client().call("GET", "/queues")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert jobbers.Client().socket == str(tmp_path / "none")
    assert (jobbers.Client("::1").url.hostname, jobbers.Client("::1").url.port) == ("::1", 8000)
    assert jobbers.Client("[::1]:81").url.port == 81 and jobbers.Client("host").url.port == 8000 and jobbers.Client("https://host").url.port is None
    with pytest.raises(ValueError):
        jobbers.Client("ftp://host")


def test_nobody_there(tmp_path):
    with pytest.raises(jobbers.Unreachable, match="not running.*systemctl start") as e:
        jobbers.Client(str(tmp_path / "s")).wait(jobbers.new_id())
    assert e.value.refused and isinstance(e.value, ConnectionError)
    with pytest.raises(jobbers.Unreachable, match="nobody answers"):
        jobbers.Client("127.0.0.1:1", token="x").call("GET", "/queues")
    with pytest.raises(jobbers.Unreachable, match="nosuch.invalid"):
        jobbers.Client("nosuch.invalid", token="x").call("GET", "/queues")


def test_conversations_that_break_off(tmp_path):
    fake = FakeDaemon(tmp_path / "s", [None, ..., b"220 mail.example\r\n"])
    c = jobbers.Client(str(tmp_path / "s"), timeout=0.2)
    with pytest.raises(jobbers.Unreachable, match="broke off") as e:
        c.submit("ok")
    assert not e.value.refused
    with pytest.raises(jobbers.Unreachable, match="in time"):
        c.submit("ok")
    with pytest.raises(jobbers.Unreachable):
        c.submit("ok")
    assert len(fake.requests) == 3


def test_wait_is_patient_with_a_busy_daemon(tmp_path):
    fake = FakeDaemon(tmp_path / "s", [answer_of(429, '{"detail": "too many"}'), None, answer_of(200, '{"id": "x", "status": "started"}'), None,
                                       answer_of(503, "{}"), answer_of(200, '{"id": "x", "status": "failed"}')])
    assert jobbers.Client(str(tmp_path / "s")).wait(jobbers.new_id())["status"] == "failed" and len(fake.requests) == 6


def test_a_kept_connection_that_was_closed_is_made_anew(daemon, client):
    client.call("GET", "/queues")
    daemon.restart()
    assert client.call("GET", "/queues")["queues"]


class KeptDaemon(threading.Thread):
    """For each connection a list of what its requests get: bytes, nothing at all (...), or None: that it is closed. After the last it is closed
    anyway; "reset" does so in the hard way."""

    def __init__(self, script):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.script, self.requests, self.kept = script, [], []
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.socket.getsockname()[1]}"

    def run(self):
        for connection_script in self.script:
            connection = self.socket.accept()[0]
            for part in connection_script:
                text = b""
                while not text.endswith(b"}"):
                    text += connection.recv(65536)
                self.requests.append(text.decode().split(" ")[1])
                if part is ...:
                    self.kept.append(connection)
                elif part == "reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                elif part:
                    connection.sendall(part)
            if ... not in connection_script:
                connection.close()


WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize("hung_up", [None, "reset"])
def test_a_kept_connection_that_is_closed_without_an_answer(hung_up):
    fake = KeptDaemon([[WHOLE, hung_up], [WHOLE]])
    c = jobbers.Client(fake.address, token="x")
    assert c.call("POST", "/a", {}) == c.call("POST", "/b", {}) == {}
    assert fake.requests == ["/a", "/b", "/b"]
    # on a new one there is no second try
    fake = KeptDaemon([[hung_up], [WHOLE]])
    with pytest.raises(jobbers.Unreachable, match="broke off"):
        jobbers.Client(fake.address, token="x").call("POST", "/a", {})
    assert len(fake.requests) == 1


@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 2", WHOLE[:-2], WHOLE[:-1], b"HTTP/1.1 100 Continue\r\n\r\n"])
@pytest.mark.parametrize("end", ["closed", "reset"])
def test_a_request_whose_answer_has_begun_is_not_sent_again(begun, end):
    """It was heard: a task must not be resubmitted twice."""
    fake = KeptDaemon([[WHOLE, begun], [WHOLE]])
    c = jobbers.Client(fake.address, token="x")
    c.call("POST", "/queues", {})
    if end == "reset":
        # A real one may overtake what was sent before it.
        class Reset(socket.socket):
            def recv_into(self, *given):
                n = super().recv_into(*given)
                if n == 0:
                    raise ConnectionResetError(errno.ECONNRESET, "reset")
                return n
        kept = c._local.connection.sock
        c._local.connection.sock = Reset(fileno=kept.detach())
    with pytest.raises(jobbers.Unreachable, match="broke off"):
        c.resubmit(jobbers.new_id())
    assert len(fake.requests) == 2, fake.requests
    c.call("POST", "/queues", {})
    assert len(fake.requests) == 3


def test_a_timeout_is_not_sent_again(monkeypatch):
    """Also where a socket's timeout is not yet a TimeoutError (Python 3.9)."""
    fake = KeptDaemon([[WHOLE, ...], [WHOLE, WHOLE]])
    c = jobbers.Client(fake.address, token="x", timeout=0.2)
    c.call("POST", "/a", {})
    with pytest.raises(jobbers.Unreachable, match="in time"):
        c.call("POST", "/a", {})
    assert len(fake.requests) == 2

    class Late(OSError):
        pass

    def late(*_, **options):
        raise Late("timed out")
    monkeypatch.setattr(socket, "timeout", Late)
    spec = importlib.util.spec_from_file_location("jobbers_of_3_9", jobbers.__file__)
    old = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(old)
    c = old.Client(fake.address, token="x")
    c.call("POST", "/a", {})
    monkeypatch.setattr("http.client.HTTPResponse.__init__", late)
    with pytest.raises(old.Unreachable, match="in time"):
        c.call("POST", "/a", {})
    until(lambda: len(fake.requests) == 4, "the request arrived, which nobody waited for")


def test_threads_share_a_client(daemon, client):
    ids, lock = [], threading.Lock()

    def work():
        for _ in range(10):
            t = client.wait(client.submit("ok", version=1))
            with lock:
                ids.append(t["id"])
        client.close()
    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(set(ids)) == 80
