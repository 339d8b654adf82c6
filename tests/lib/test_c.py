"""libjobbers: a client and a task in C, against a real daemon."""
import errno
import json
import os
import re
import socket
import subprocess
import threading
import time

import pytest
from conftest import LIBDIR, lay_out
from harness import PATIENCE, until

STATES = ["unknown", "submitted", "scheduled", "started", "completed", "failed", "cancelled", "stalled", "dropped"]


class Said:
    """What tests/lib/client.c printed about a call."""

    def __init__(self, process):
        out, self.stderr = process.communicate(timeout=90)
        first, self.out = out.split("\n", 1)
        number, self.sentence = first.split(" ", 1)
        self.result, self.out, self.exit = int(number), self.out.rstrip("\n"), process.returncode

    @property
    def error(self):
        return errno.errorcode[-self.result] if self.result < 0 else None

    @property
    def state(self):
        return STATES[self.result]

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"<{self.result} {self.error} {self.sentence!r} {self.out[:200]!r}>"


@pytest.fixture
def start(compiled):
    """Starts tests/lib/client.c; a finished one must have left nothing behind (ASan, where it is built with it)."""
    def start_one(address, *words, **environment):
        return subprocess.Popen([compiled("client"), str(address), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env={"LD_LIBRARY_PATH": str(LIBDIR), **environment})
    return start_one


@pytest.fixture
def client(start):
    def one(address, *words, **environment):
        said = Said(start(address, *words, **environment))
        assert said.exit == 0 and "Sanitizer" not in said.stderr, said.stderr
        return said
    return one


def submit(client, address, name, version=1, queue="-", priority=0, parameters="-", run_at="-", id="-", options=()):
    return client(address, *options, "submit", name, version, queue, priority, parameters, run_at, id)


def connections(daemon):
    """Descriptors of the daemon: one more for each client that it accepted."""
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))


ID = "01JBKR2E5F3G4H5J6K7M8N9P0Q"

# ── submit, status, wait ──


def test_from_submission_to_result(daemon, client):
    s = submit(client, daemon.socket_path, "echo", parameters='{"n": 7, "s": "ä \\"x\\""}', priority=5)
    assert s.result == 0 and re.fullmatch("[0-9A-HJKMNP-TV-Z]{26}", s.out), s
    w = client(daemon.socket_path, "wait", s.out, 30_000_000)
    assert w.state == "completed" and w.sentence == ""
    assert w.json["results"] == {"n": 7, "s": 'ä "x"'} and w.json["priority"] == 5 and w.json["queue"] == "default"
    assert client(daemon.socket_path, "status", s.out.lower()).json == w.json


def test_numbers_go_through_as_they_are(daemon, client):
    parameters = '{"a": 9007199254740993, "b": 0.1000, "c": 1e2}'
    s = submit(client, daemon.socket_path, "echo", parameters=parameters)
    w = client(daemon.socket_path, "wait", s.out, 30_000_000)
    assert w.json["results"] == json.loads(parameters)


def test_the_default_address_is_the_environments(daemon, client):
    s = client("-", "call", "GET", "/queues", "-", JOBBERS_SOCKET=daemon.socket_path)
    assert s.result == 200 and s.json["queues"]
    assert client("unix:" + daemon.socket_path, "call", "GET", "/queues", "-").out == s.out


def test_the_users_own_daemon(client, tmp_path):
    s = client("user", "call", "GET", "/queues", "-", XDG_RUNTIME_DIR=str(tmp_path))
    assert s.error == "ECONNREFUSED" and f"{tmp_path}/jobbers/jobbers.sock" in s.sentence
    assert "systemctl --user start" in s.sentence
    s = client("user", "call", "GET", "/queues", "-", HOME=str(tmp_path))
    assert f"{tmp_path}/.local/state/jobbers/run/jobbers.sock" in s.sentence


def test_submitting_again_with_the_same_id_is_harmless(daemon, client):
    first = submit(client, daemon.socket_path, "ok", id=ID.lower())
    assert (first.result, first.out) == (0, ID)
    assert submit(client, daemon.socket_path, "ok", id=ID).result == 0
    other = submit(client, daemon.socket_path, "fail", id=ID)
    assert other.error == "EEXIST" and ID in other.sentence
    assert len(daemon.get("/task-list")["tasks"]) == 1


def test_what_the_daemon_refuses(daemon, client):
    s = submit(client, daemon.socket_path, "nosuch")
    assert s.error == "EINVAL" and "nosuch" in s.sentence, s
    s = submit(client, daemon.socket_path, "typed", parameters='{"number_of_things": "seven"}')
    assert s.error == "EINVAL" and "number_of_things" in s.sentence, s
    assert submit(client, daemon.socket_path, "ok", queue="nosuch").error == "EINVAL"
    assert submit(client, daemon.socket_path, "ok", priority=101).error == "EINVAL"
    assert client(daemon.socket_path, "status", ID).error == "ENOENT"
    assert client(daemon.socket_path, "wait", ID, 1_000_000).error == "ENOENT"


@pytest.mark.parametrize("parameters, words", [("[1]", "not a JSON object"), ("{", "not JSON"), ('{}, "name": "fail"', "not JSON"), ('"x"', "JSON")])
def test_parameters_are_looked_at_before_they_are_sent(client, parameters, words):
    s = submit(client, "/nowhere/at/all", "ok", parameters=parameters)
    assert s.error == "EINVAL" and words in s.sentence and s.out == ""


def test_a_task_of_later(daemon, client):
    s = submit(client, daemon.socket_path, "echo", run_at="2099-01-01T00:00:00Z", parameters='{"n": 1}')
    assert s.result == 0
    status = client(daemon.socket_path, "status", s.out)
    assert status.state == "scheduled" and status.json["scheduled_at"].startswith("2099-01-01T00:00:00") and status.json["parameters"] == {"n": 1}
    assert submit(client, daemon.socket_path, "ok", run_at="tomorrow").error == "EINVAL"


def test_headers_of_other_versions(daemon, start):
    out, _ = start(daemon.socket_path, "sizes", "ok").communicate(timeout=30)
    assert out == f"{-errno.EINVAL} 0 {-errno.EINVAL}\n"


def test_wait_ends_in_time(daemon, client):
    s = submit(client, daemon.socket_path, "hold")
    daemon.box.line()
    before = time.monotonic()
    w = client(daemon.socket_path, "wait", s.out, 300_000)
    assert w.error == "ETIMEDOUT" and w.out == "" and "started" in w.sentence
    assert time.monotonic() - before >= 0.3
    assert client(daemon.socket_path, "wait", s.out, 0).error == "ETIMEDOUT"
    daemon.gate.open()
    assert client(daemon.socket_path, "wait", s.out, 2**64 - 1).state == "completed"
    assert client(daemon.socket_path, "wait", s.out, 0).state == "completed"


def test_wait_outlives_the_daemon(daemon, client, start):
    """A daemon that is killed and comes back meanwhile: whoever waits sees nothing of it but the result."""
    daemon.define("kept", "echo start >@BOX@; read -r x <@GATE@", OnShutdown="resubmit")
    daemon.reload()
    s = submit(client, daemon.socket_path, "kept")
    daemon.box.line()
    before = connections(daemon)
    waiting = start(daemon.socket_path, "wait", s.out, 2**64 - 1)
    until(lambda: connections(daemon) > before, "it waits")
    daemon.kill9()
    daemon.start()
    daemon.gate.open(2)
    w = Said(waiting)
    assert w.state == "completed" and w.json["id"] == s.out


# ── cancel ──


def test_cancel(daemon, client):
    s = submit(client, daemon.socket_path, "hold")
    daemon.box.line()
    assert client(daemon.socket_path, "cancel", s.out).result == 0
    assert client(daemon.socket_path, "cancel", s.out).result == 0
    assert client(daemon.socket_path, "wait", s.out, 30_000_000).state == "cancelled"
    assert client(daemon.socket_path, "cancel", ID).error == "ENOENT"
    done = submit(client, daemon.socket_path, "ok")
    client(daemon.socket_path, "wait", done.out, 30_000_000)
    late = client(daemon.socket_path, "cancel", done.out)
    assert late.error == "EALREADY" and "completed" in late.sentence


# ── the rest of the API ──


def test_any_other_call(daemon, client):
    s = client(daemon.socket_path, "call", "POST", "/queues", '{"name": "reports", "max_concurrent": 3}')
    assert s.result in (200, 201), s
    assert client(daemon.socket_path, "call", "GET", "/queues/reports/config", "-").json["queue"]["max_concurrent"] == 3
    assert client(daemon.socket_path, "call", "DELETE", "/queues/reports", "-").result == 200
    s = client(daemon.socket_path, "call", "GET", "/queues/reports/config", "-")
    assert s.error == "ENOENT" and s.json["detail"] == s.sentence
    assert client(daemon.socket_path, "call", "PATCH", "/queues", "-").error == "EINVAL"
    assert client(daemon.socket_path, "call", "POST", "/submit-task", "{").error == "EINVAL"


# ── over TCP ──


def test_over_tcp_with_a_token(daemon, client, tmp_path):
    address = f"127.0.0.1:{daemon.port}"
    token = tmp_path / "token"
    token.write_text(daemon.token + "\n")
    assert submit(client, address, "ok", options=[f"--token-file={token}"]).result == 0
    assert submit(client, f"http://localhost:{daemon.port}/", "ok", options=[f"--token={daemon.token}"]).result == 0
    assert client(address, "call", "GET", "/queues", "-", JOBBERS_TOKEN_FILE=str(token)).result == 200
    wrong = submit(client, address, "ok", options=["--token=wrong"])
    assert wrong.error == "EACCES" and wrong.sentence
    if not os.path.exists("/etc/jobbers/token"):
        assert submit(client, address, "ok").error == "EACCES"
    none = submit(client, address, "ok", options=[f"--token-file={tmp_path}/none"])
    assert none.error == "EACCES" and f"{tmp_path}/none" in none.sentence


@pytest.mark.parametrize("address, error", [("host with blanks", "EINVAL"), ("127.0.0.1:1", "ECONNREFUSED"),
                                            ("[::1]:1", "ECONNREFUSED"), ("::1", "ECONNREFUSED"), ("nosuch.invalid", "ECONNREFUSED")])
def test_addresses(client, address, error):
    s = client(address, "--token=x", "call", "GET", "/queues", "-")
    assert s.error == error and s.sentence, s


def test_without_a_token_where_none_is_asked_for(make_daemon, client):
    d = make_daemon(mode="user", no_auth=True)
    d.define("ok", "exit 0")
    if os.path.exists("/etc/jobbers/token"):
        pytest.skip("this host has a token")
    d.start()
    assert submit(client, f"127.0.0.1:{d.port}", "ok").result == 0


# ── what goes wrong on the way ──


def test_no_daemon(client, tmp_path):
    s = submit(client, tmp_path / "s", "ok")
    assert s.error == "ECONNREFUSED" and "not running" in s.sentence and "systemctl start jobbersd" in s.sentence
    assert re.fullmatch("[0-9A-Z]{26}", s.out)          # the id, to try again with
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s"))
    s = submit(client, tmp_path / "s", "ok")
    assert s.error == "ECONNREFUSED" and "nobody listens on" in s.sentence
    assert client(tmp_path / "s", "wait", ID, 60_000_000).error == "ECONNREFUSED"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_no_rights(daemon, compiled):
    program = lay_out(daemon, compiled("client"), LIBDIR / "libjobbers.so.0") / "client"
    os.chmod(daemon.socket_path, 0o660)
    out = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, daemon.socket_path, "call", "GET", "/queues", "-"],
                         env={"LD_LIBRARY_PATH": daemon.path("lib")}, capture_output=True, text=True, timeout=30, check=True).stdout
    assert out.startswith(f"{-errno.EACCES} ") and 'join the group "jobbers"' in out


class FakeDaemon(threading.Thread):
    """Reads requests and answers each with the next of `answers` (bytes; None: hangs up at once; ...: never answers)."""

    def __init__(self, path, answers):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        self.answers, self.requests, self.kept = answers, [], []
        self.start()

    def run(self):
        for answer in self.answers:
            connection = self.socket.accept()[0]
            text = b""
            while b"\r\n\r\n" not in text:
                text += connection.recv(65536)
            self.requests.append(text)
            if answer is ...:
                self.kept.append(connection)
            else:
                if answer:
                    connection.sendall(answer)
                connection.close()


def answer_of(status, body):
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()


def test_a_conversation_that_breaks_off(client, tmp_path):
    FakeDaemon(tmp_path / "s", [None])
    s = submit(client, tmp_path / "s", "ok")
    assert s.error == "ECONNRESET" and re.fullmatch("[0-9A-Z]{26}", s.out) and "broke off" in s.sentence


def test_a_daemon_that_does_not_answer(client, tmp_path):
    fake = FakeDaemon(tmp_path / "s", [...])
    s = submit(client, tmp_path / "s", "ok", options=["--timeout=200000"])
    assert s.error == "ETIMEDOUT" and "in time" in s.sentence and len(fake.kept) == 1


@pytest.mark.parametrize("status, body, error", [
    (503, '{"detail": "the state cannot be written"}', "EAGAIN"), (507, '{"detail": "the disk is full"}', "ENOSPC"), (413, "{}", "E2BIG"),
    (429, '{"detail": "too many"}', "EAGAIN"), (500, "oops", "EPROTO"), (403, '{"detail": "no"}', "EACCES"), (302, "", "EPROTO")])
def test_answers_that_are_errors(client, tmp_path, status, body, error):
    FakeDaemon(tmp_path / "s", [answer_of(status, body)])
    s = submit(client, tmp_path / "s", "ok")
    assert s.error == error
    assert s.sentence == (json.loads(body)["detail"] if "detail" in body else f"jobbersd answered {status} without saying why")


def test_answers_that_are_none_of_jobbersds(client, tmp_path):
    FakeDaemon(tmp_path / "s", [b"220 mail.example ESMTP\r\n", answer_of(200, "[]"), answer_of(200, '{"status": 3}')])
    for _ in range(3):
        s = client(tmp_path / "s", "status", ID)
        assert s.error == "EPROTO" and s.sentence, s


def test_wait_is_patient_with_a_busy_daemon(client, tmp_path):
    fake = FakeDaemon(tmp_path / "s", [answer_of(429, '{"detail": "too many"}'), None, answer_of(200, '{"id": "x", "status": "started"}'), None,
                                       answer_of(503, "{}"), answer_of(200, '{"id": "x", "status": "failed"}')])
    s = client(tmp_path / "s", "wait", ID, 60_000_000)
    assert s.state == "failed" and len(fake.requests) == 6


def test_a_state_of_the_future_is_not_final(client, tmp_path):
    FakeDaemon(tmp_path / "s", [answer_of(200, '{"id": "x", "status": "pondering"}')])
    assert client(tmp_path / "s", "status", ID).result == 0


# ── many ──


def test_many_over_one_client(daemon, client):
    assert client(daemon.socket_path, "many", "ok", 50).result == 0
    assert len(daemon.get("/task-list", limit=1000)["tasks"]) == 50


def test_threads_have_clients_of_their_own(daemon, start):
    process = start(daemon.socket_path, "threads", "ok", 8, 25)
    out, err = process.communicate(timeout=90)
    ids = out.split()
    assert process.returncode == 0 and "Sanitizer" not in err, err
    assert len(set(ids)) == 200
    assert {t["id"] for t in daemon.get("/task-list", limit=1000)["tasks"]} == set(ids)


# ── tasks ──


@pytest.fixture
def c_task(make_daemon, compiled):
    """A daemon whose task "c" is tests/lib/task.c with the installed library."""
    d = make_daemon(slots=4)
    directory = lay_out(d, compiled("task"), LIBDIR / "libjobbers.so.0")
    d.file("c.task", f"[Task]\nName=c\nVersion=3\nExecStart={directory}/task\nRetryOn=TEMPFAIL\nMaxHeartbeatIntervalSec=1h\nTimeoutSec=1h\n"
                     f"Environment=LD_LIBRARY_PATH={directory}\n")
    return d.start()


def test_a_task_knows_what_it_is(c_task):
    t = c_task.run("c", 3, parameters={"do": "facts"})
    assert t["status"] == "completed", t
    assert t["results"] == {"id": t["id"], "name": "c", "queue": "default", "version": 3, "attempt": 1, "retry_attempt": 0, "interval": 3600_000_000}


def test_results_are_checked(c_task):
    given = {"do": "results", "s": "ä\"\\", "deep": [[{"x": None}]], "big": 9007199254740993}
    t = c_task.run("c", 3, parameters=given)
    assert t["status"] == "completed" and t["results"] == given
    log = c_task.ask("GET", f"/task/{t['id']}/logs").text
    assert f"{-errno.EINVAL} {-errno.EINVAL} the result is not a JSON object" in log


def test_heartbeat_progress_and_status_arrive(c_task):
    t = c_task.run("c", 3, parameters={"do": "threads"})
    assert t["status"] == "completed" and t["progress"] == 100 and t["status_text"] == "joined by all", t
    assert t["heartbeat_at"] > t["started_at"]


def test_a_child_is_heard_that_ends_at_once(c_task):
    t = c_task.run("c", 3, parameters={"do": "child"})
    assert t["status"] == "completed" and t["progress"] == 42 and t["status_text"] == "said by a child", t


def test_failing(c_task):
    t = c_task.run("c", 3, parameters={"do": "fail"})
    assert t["status"] == "failed" and t["retry_attempt"] == 0
    [a] = t["attempts"]
    assert (a["exit_status"], a["error_type"], t["last_error"]) == (1, "NoSource", 'there is no "source" ? here')
    assert 'there is no "source"' in c_task.ask("GET", f"/task/{t['id']}/logs").text


def test_retrying(c_task):
    t = c_task.run("c", 3, parameters={"do": "retry"})
    assert t["status"] == "completed" and t["results"]["retry_attempt"] == 1 and t["results"]["attempt"] == 2
    assert [a["exit_status"] for a in t["attempts"]] == [75, 0] and t["attempts"][0]["error"] == "busy"


def test_a_timeout_is_extended(c_task, compiled):
    directory = c_task.path("lib")
    c_task.file("short.task", f"[Task]\nName=short\nVersion=1\nExecStart={directory}/task\nTimeoutSec=1\nMaxRetries=0\nEnvironment=LD_LIBRARY_PATH={directory}\n")
    c_task.reload()
    t = c_task.run("short", parameters={"do": "extend", "seconds": 2})
    assert t["status"] == "completed" and t["status_text"] == "extended", t


class Listener:
    """What a task says, without a daemon."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(PATIENCE)

    def all(self):
        said = []
        self.socket.setblocking(False)
        try:
            while True:
                said.append(self.socket.recv(65536).decode())
        except BlockingIOError:
            return said


def run_task(compiled, parameters, **environment):
    return subprocess.run([compiled("task")], input=parameters, text=True, capture_output=True, timeout=60,
                          env={"LD_LIBRARY_PATH": str(LIBDIR), **environment})


@pytest.mark.parametrize("abstract", [False, True])
def test_heartbeats_are_limited(compiled, tmp_path, abstract):
    name = f"jobbers-test-{os.urandom(6).hex()}"
    listener = Listener("\0" + name if abstract else str(tmp_path / "notify"))
    # a full socket is no failure of the task's, so nobody needs to read
    p = run_task(compiled, '{"do": "beats"}', NOTIFY_SOCKET="@" + name if abstract else str(tmp_path / "notify"))
    assert p.returncode == 0, p
    said = listener.all()
    assert 1 <= len(said) <= 10 and set(said) == {"WATCHDOG=1"}


def test_a_task_started_from_a_shell(compiled):
    p = run_task(compiled, '{"do": "facts"}')
    assert p.returncode == 0 and json.loads(p.stdout) == {"id": "", "name": "", "queue": "", "version": 0, "attempt": 0, "retry_attempt": 0, "interval": -1}
    p = run_task(compiled, '{"do": "fail"}')
    assert p.returncode == 1 and json.loads(p.stdout)["error"]["type"] == "NoSource" and p.stderr.startswith('there is no "source"')
    assert run_task(compiled, '{"do": "threads"}').returncode == 0
    p = run_task(compiled, "[]")
    assert p.returncode == 3 and str(-errno.EBADMSG) in p.stderr


def test_nobody_listens_at_the_address(compiled, tmp_path):
    p = run_task(compiled, '{"do": "beats"}', NOTIFY_SOCKET=str(tmp_path / "none"))
    assert p.returncode == 1


def test_no_task_loads_libcurl(compiled):
    p = subprocess.run([compiled("task")], input="{}", text=True, capture_output=True, timeout=60, env={"LD_LIBRARY_PATH": str(LIBDIR), "LD_DEBUG": "files"})
    assert "libjobbers.so.0" in p.stderr and "libcurl" not in p.stderr


def test_stopped_by_signal(c_task):
    """The library leaves signals alone: a cancelled task of the simplest kind ends at once."""
    task_id = c_task.submit("c", 3, parameters={"do": "extend", "seconds": 600})
    until(lambda: c_task.status(task_id)["status_text"] == "extended", "it runs")
    c_task.cancel(task_id)
    t = c_task.wait_final(task_id)
    assert t["status"] == "cancelled" and t["attempts"][0]["signal"] == "SIGTERM"
