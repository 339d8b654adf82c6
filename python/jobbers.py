"""jobbers: Python programs that jobbersd runs (`task`), and Python programs that hand it tasks (`Client`).

A task is an executable like this one:

    #!/usr/bin/python3
    from jobbers import task

    def generate_report(report_id):
        for done, section in enumerate(SECTIONS):
            task.progress(100 * done / len(SECTIONS), f"section {section}")
            ...
        return {"url": f"/reports/{report_id}.html"}

    if __name__ == "__main__":
        task.run(generate_report)

and whoever wants a report says

    from jobbers import Client
    print(Client().run("generate_report", {"report_id": 42}, version=1)["url"])

One file that needs nothing but Python 3.9: copy it beside your own programs where installing is not an option. License: MIT.
"""
import json
import os
import select
import signal
import socket
import sys
import threading
import time

# Tasks start often and should start fast: what only clients or rare tasks need is imported where they need it.

__all__ = ["task", "Task", "Stopped", "Client", "Error", "Unreachable", "NotFound", "TaskFailed", "FINAL_STATES"]
__version__ = "0.1.0"

EX_TEMPFAIL = 75  # "try again later", as in sysexits.h

# ── tasks ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Stopped(BaseException):
    """jobbers asked this attempt to end (cancelled, timed out, stalled, or the daemon stops): raised by the signal, wherever the program is,
    in programs that task.run() runs. Clean up and let it pass; KillGraceSec= later the process is killed. Like KeyboardInterrupt it is no
    Exception, so that `except Exception` does not swallow it."""


class Task:
    """The attempt that this process was started for; the module's `task` is the only one you need.

    Started from a shell instead it works too: parameters are read from standard input unless that is a terminal, heartbeats go nowhere, and
    the result is printed."""

    BEAT_DISTANCE = 0.1  # seconds between heartbeats that are really sent

    def __init__(self):
        self.stopping = False  # True once jobbers asked the attempt to end (task.run() only)
        self._lock = threading.Lock()
        self._socket = self._parameters = self._progress = self._status = None
        self._beat_at = -1.0

    # ── what it is told ──

    @property
    def id(self):
        """The task's id; "" when started from a shell."""
        return os.environ.get("JOBBERS_TASK_ID", "")

    @property
    def name(self):
        return os.environ.get("JOBBERS_TASK_NAME", "")

    @property
    def queue(self):
        return os.environ.get("JOBBERS_QUEUE", "")

    @property
    def version(self):
        return int(os.environ.get("JOBBERS_TASK_VERSION", 0))

    @property
    def attempt(self):
        """1 for the first start, counting every start."""
        return int(os.environ.get("JOBBERS_ATTEMPT", 0))

    @property
    def retry_attempt(self):
        """0, then 1 for the first retry, and so on."""
        return int(os.environ.get("JOBBERS_RETRY_ATTEMPT", 0))

    @property
    def heartbeat_interval(self):
        """Seconds within which heartbeats are asked for (MaxHeartbeatIntervalSec=), None where none are."""
        usec = os.environ.get("WATCHDOG_USEC")
        return int(usec) / 1e6 if usec else None

    @property
    def parameters(self):
        """The dict that was submitted with the task."""
        if self._parameters is None:
            path = os.environ.get("JOBBERS_PARAMETERS")
            if path:
                with open(path, encoding="utf-8") as f:
                    text = f.read()
            else:
                text = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
            given = json.loads(text) if text.strip() else {}
            if not isinstance(given, dict):
                raise ValueError("the parameters are not a JSON object")
            self._parameters = given
        return self._parameters

    # ── what it says while it runs ──

    def heartbeat(self):
        """"I am alive": to be called more often than MaxHeartbeatIntervalSec=. As often as you like: at most ten a second are sent."""
        distance = min(self.BEAT_DISTANCE, (self.heartbeat_interval or 1) / 4)
        with self._lock:
            now = time.monotonic()
            if self._beat_at < 0 or now - self._beat_at >= distance:
                if self._notify("WATCHDOG=1"):
                    self._beat_at = now

    def progress(self, percent, status=None):
        """How far the work is, 0 to 100, and what it is about. Counts as a heartbeat."""
        percent = max(0, min(100, int(percent)))
        with self._lock:
            new_progress, new_status = percent != self._progress, status is not None and str(status) != self._status
            if new_progress or new_status:
                lines = ["WATCHDOG=1", f"X_JOBBERS_PROGRESS={percent}"]
                if new_status:
                    lines.append(self._status_line(status))
                if self._notify(*lines):
                    self._progress, self._beat_at = percent, time.monotonic()
                    if new_status:
                        self._status = str(status)
                return
        self.heartbeat()

    def status(self, text):
        """What the task is doing, one line. Not a heartbeat."""
        with self._lock:
            if str(text) != self._status and self._notify(self._status_line(text)):
                self._status = str(text)

    def extend_timeout(self, seconds):
        """The timeout (TimeoutSec=) ends this much from now, if that is later than it would."""
        with self._lock:
            self._notify(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def flush(self, timeout=5):
        """Returns when all of this has been taken notice of. Only of use to a process that is not the task's first one and ends at once: who is
        gone cannot be proven to belong to the task."""
        with self._lock:
            if not self._connect():
                return
            ours, theirs = os.pipe()
            try:
                self._socket.setblocking(True)
                self._socket.settimeout(timeout)
                socket.send_fds(self._socket, [b"BARRIER=1"], [theirs])
                os.close(theirs)
                theirs = -1
                if not select.select([ours], [], [], timeout)[0]:
                    raise TimeoutError("jobbers did not take notice in time")
            finally:
                self._socket.setblocking(False)
                os.close(ours)
                if theirs >= 0:
                    os.close(theirs)

    @staticmethod
    def _status_line(text):
        return "STATUS=" + str(text).replace("\n", " ").replace("\r", " ")

    def _connect(self):
        """False when nobody listens."""
        address = os.environ.get("NOTIFY_SOCKET")
        if not address:
            return False
        if self._socket is None:
            s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
            try:
                s.connect("\0" + address[1:] if address.startswith("@") else address)
            except OSError:
                s.close()
                raise
            self._socket = s
        return True

    def _notify(self, *lines):
        """A socket that is full or gone is no reason to stop working: False. What is no mere heartbeat waits a second at most."""
        try:
            if self._connect():
                data = "\n".join(lines).encode("utf-8", "replace")
                try:
                    self._socket.send(data)
                except BlockingIOError:
                    if lines == ("WATCHDOG=1",) or not select.select([], [self._socket], [], 1)[1]:
                        return False
                    self._socket.send(data)
            return True
        except OSError:
            return False

    # ── how it ends ──

    def result(self, value=None, **values):
        """Keeps the task's result: a dict, or keywords. The last call counts; the task still has to end with status 0."""
        value = dict(value or {}, **values)
        self._write(json.dumps(value, ensure_ascii=False, allow_nan=False))

    def fail(self, type, message, status=1):
        """Ends the program as failed, for good unless RetryOn= lists `type` (a name of your own, such as "NoSource") or the exit status."""
        self._write_error(type, message)
        print(message, file=sys.stderr, flush=True)
        sys.exit(status)

    def retry(self, message, type=None):
        """Ends the program with an expected failure: it is tried again later, as the definition says (exit status 75)."""
        self.fail(type, message, EX_TEMPFAIL)

    def run(self, function, retry_on=(), stop_signals=(signal.SIGTERM,)):
        """Runs `function(**parameters)` as the task, and ends the program:

        * what it returns is the result (a dict, or None);
        * an exception is a failure whose type is the exception's class, so that RetryOn= can list "TimeoutError"; with its traceback in the log;
        * one of `retry_on` (exception classes, with those derived from them) is an expected failure, whatever RetryOn= lists;
        * SystemExit ends it with that status, as task.fail() and task.retry() do;
        * a signal of `stop_signals` raises Stopped. (KillSignal= is SIGTERM unless the definition has another.)

        A coroutine function is run by asyncio; a stop then cancels it."""
        try:
            for s in stop_signals:
                signal.signal(s, self._stop)
            value = function(**self.parameters)
            if hasattr(value, "__await__"):
                value = self._run_coroutine(value, stop_signals)
            if value is not None and not isinstance(value, dict):
                raise TypeError(f"a task returns a dict or None, not {value.__class__.__name__}")
            if value is not None:
                self.result(value)
        except (Stopped, KeyboardInterrupt):
            print("stopped", file=sys.stderr, flush=True)
            sys.exit(128 + (self.stopping or signal.SIGINT))
        except Exception as e:
            self._fail_with(e, retry_on)
        sys.exit(0)

    def _stop(self, number, frame):
        self.stopping = number
        signal.signal(number, signal.SIG_IGN)  # once is enough: cleaning up is not to be interrupted
        raise Stopped()

    def _run_coroutine(self, coroutine, stop_signals):
        import asyncio

        async def main():
            loop, this = asyncio.get_running_loop(), asyncio.current_task()

            def stop(number):
                if not self.stopping:
                    self.stopping = number
                    this.cancel()
            for s in stop_signals:
                loop.add_signal_handler(s, stop, s)
            return await coroutine
        try:
            return asyncio.run(main())
        except asyncio.CancelledError:
            if self.stopping:
                raise Stopped() from None
            raise

    def _fail_with(self, e, retry_on):
        import traceback
        traceback.print_exception(e.__class__, e, e.__traceback__)
        sys.stderr.flush()
        self._write_error(e.__class__.__name__, str(e) or e.__class__.__name__)
        sys.exit(EX_TEMPFAIL if isinstance(e, tuple(retry_on)) else 1)

    def _write_error(self, type, message):
        error = {"message": str(message)}
        if type:
            error["type"] = str(type)
        try:
            self._write(json.dumps({"error": error}))
        except OSError as e:
            print(f"cannot write this error for jobbers: {e}", file=sys.stderr)

    def _write(self, text):
        path = os.environ.get("JOBBERS_RESULT")
        if not path:
            print(text, flush=True)
            return
        # Beside it and renamed: nobody ever takes half of one.
        unfinished = f"{path}.{os.getpid()}.{threading.get_ident()}"
        with open(unfinished, "w", encoding="utf-8", errors="replace") as f:
            f.write(text)
        os.replace(unfinished, path)


task = Task()

# ── clients ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

SYSTEM_SOCKET = "/run/jobbers/jobbers.sock"
TOKEN_FILE = "/etc/jobbers/token"
FINAL_STATES = frozenset(("completed", "failed", "cancelled", "stalled", "dropped"))
POLL_MAX = 60  # seconds that ?wait= takes at most
PATIENCE = 30  # with a daemon that does not answer while we wait for a task
PORT = 8000
_TIMEOUTS = (TimeoutError, socket.timeout)  # one and the same only since Python 3.10


class Error(Exception):
    """The daemon refused, or could not be asked. `status` is the HTTP status (None without an answer), `errors` the list that comes with 422."""

    def __init__(self, sentence, status=None, errors=()):
        super().__init__(sentence)
        self.status, self.errors = status, errors


class Unreachable(Error, ConnectionError):
    """No answer. Whether the request was carried out is not known, unless nobody was there at all (`refused`)."""

    def __init__(self, sentence, refused=False):
        super().__init__(sentence)
        self.refused = refused


class NotFound(Error, LookupError):
    """There is no such task, queue or path."""


class TaskFailed(Error):
    """Client.run(): the task ended otherwise than completed; `record` says how."""

    def __init__(self, record):
        super().__init__(f"task {record['id']} is {record['status']}" + (f": {record['last_error']}" if record.get("last_error") else ""))
        self.record = record


class Client:
    """A client of jobbersd. `address`:

    * None: $JOBBERS_SOCKET if that is set, else the system's daemon; for who is not root, their own where that is not there
    * "system", "user": the system's daemon (/run/jobbers/jobbers.sock); your own (jobbersd --user)
    * "/path" or "unix:/path": a Unix socket
    * "host", "host:port", "[v6]:port", "http://…", "https://…": over TCP (port 8000 unless said), with `token`, or with the first line of
      `token_file` (else $JOBBERS_TOKEN_FILE, else /etc/jobbers/token if it is there)

    `timeout`: seconds that a call may take. Threads may share a client; each has a connection of its own."""

    def __init__(self, address=None, token=None, token_file=None, timeout=30):
        self.timeout, self.socket, self.url = timeout, None, None
        self._local, self._token, self._token_file = threading.local(), token, token_file
        if address is None and os.environ.get("JOBBERS_SOCKET"):
            self.socket = os.environ["JOBBERS_SOCKET"]
        elif address is None:
            address = "user" if os.geteuid() != 0 and not os.path.exists(SYSTEM_SOCKET) else "system"
        self._whose = "--user " if address == "user" else ""
        if self.socket:
            pass
        elif address in ("system", "user"):
            self.socket = _user_socket() if address == "user" else SYSTEM_SOCKET
        elif address.startswith(("/", "unix:")):
            self.socket = address[5:] if address.startswith("unix:") else address
        else:
            from urllib.parse import urlsplit
            if "://" not in address:
                if address.count(":") > 1 and not address.startswith("["):
                    address = f"[{address}]"
                address = f"http://{address}" if urlsplit(f"//{address}").port else f"http://{address}:{PORT}"
            self.url = urlsplit(address)
            if self.url.scheme not in ("http", "https") or not self.url.hostname:
                raise ValueError(f"{address} is no address of a daemon: it takes HOST, HOST:PORT, http://…, https://… or the path of a socket")
        self.where = self.socket or address

    # ── tasks ──

    def submit(self, name, parameters=None, *, version=0, queue=None, priority=None, run_at=None, id=None):
        """Submits a task and returns its id. Once this returns, the daemon has it on disk and will not lose it.

        `run_at`: a datetime, a timedelta from now, or RFC 3339 text. `id`: a ULID of your own (new_id() makes one); submitting the same again
        with the same id is harmless, so after Unreachable do just that."""
        given = {"id": id or new_id(), "name": name, "version": version, "parameters": parameters or {}}
        if queue is not None:
            given["queue"] = queue
        if priority is not None:
            given["priority"] = priority
        if run_at is None:
            answer = self.call("POST", "/submit-task", given)
        else:
            answer = self.call("POST", "/schedule-task", {"task": given, "run_at": _time_text(run_at)})
        return answer["task"]["id"]

    def submit_many(self, tasks):
        """Submits up to 1,000 dicts of the API's fields (name, version, parameters, queue, …), all or none; returns their ids in order."""
        tasks = [dict({"id": new_id()}, **t) for t in tasks]
        return [t["id"] for t in self.call("POST", "/submit-tasks", {"tasks": tasks})["tasks"]]

    def status(self, id):
        """The task's whole record, a dict: status, results, last_error, attempts, progress, times, …"""
        return self.call("GET", _task_path("/task-status/", id))

    def wait(self, id, timeout=None):
        """The record of the task once it is final. TimeoutError when it was not within `timeout` seconds (None: for ever). A daemon that restarts
        meanwhile is waited for, half a minute at most."""
        path = _task_path("/task-status/", id)
        deadline = None if timeout is None else time.monotonic() + timeout
        reached, failing, pause = False, None, 0.1
        while True:
            left = POLL_MAX if deadline is None else max(0, deadline - time.monotonic())
            poll = min(left, POLL_MAX)
            try:
                record = self._call("GET", path, None, {"wait": f"{poll:.3f}"} if poll else {}, poll + self.timeout)
            except Error as e:
                # It restarts, or has no place for another long poll. One that was never there is another matter.
                passing = e.status in (429, 503) or isinstance(e, Unreachable)
                reached = reached or passing and not getattr(e, "refused", False)
                failing = failing or time.monotonic()
                if not passing or not reached or time.monotonic() - failing > PATIENCE:
                    raise
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError(str(e)) from e
                time.sleep(pause if deadline is None else max(0, min(pause, deadline - time.monotonic())))
                pause = min(2 * pause, 1)
                continue
            reached, failing, pause = True, None, 0.1
            if record["status"] in FINAL_STATES:
                return record
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"task {record['id']} is not final yet: it is {record['status']}")

    def run(self, name, parameters=None, *, timeout=None, **options):
        """Submits (options as submit() has them), waits, and returns the results, a dict. TaskFailed when it did not complete."""
        record = self.wait(self.submit(name, parameters, **options), timeout)
        if record["status"] != "completed":
            raise TaskFailed(record)
        return record["results"]

    def cancel(self, id):
        """Cancels a task. Once this returns that is final; one that runs is `cancelled` when its last process is gone: see wait(). Again is
        fine; Error with status 409 when it had ended otherwise."""
        try:
            self.call("POST", _task_path("/task/", id, "/cancel"))
        except Error as e:
            if e.status != 409 or self.status(id)["status"] != "cancelled":
                raise

    def resubmit(self, id, reset_retry_count=False):
        """Runs a final task again, under its id."""
        self.call("POST", _task_path("/task/", id, "/resubmit"), {"reset_retry_count": reset_retry_count})

    def logs(self, id, follow=False):
        """The lines of the task's output, as they come when `follow`, and then until it has ended."""
        from http.client import HTTPException
        connection = None
        try:
            connection = self._connection(None if follow else self.timeout)
            response = self._send(connection, "GET", _task_path("/task/", id, "/logs") + ("?follow=true" if follow else ""), None)
            if response.status != 200:
                self._answer(response, response.read())
            for line in response:
                yield line.decode("utf-8", "replace").rstrip("\n")
        except (OSError, HTTPException) as e:
            if isinstance(e, Error):
                raise
            raise self._unreachable(e) from e
        finally:
            if connection:
                connection.close()

    def tasks(self, **filters):
        """The records of all tasks that match: queue, status, task_name, task_version, order_by."""
        while True:
            page = self.call("GET", "/task-list", **filters)
            yield from page["tasks"]
            if "next" not in page:
                return
            filters["cursor"] = page["next"]

    # ── anything else of the API ──

    def call(self, method, path, body=None, **query):
        """One request of the HTTP API (docs/API.md); returns the decoded JSON of the answer, text when it is none. Error unless it is 2xx."""
        return self._call(method, path, body, query, self.timeout)

    def close(self):
        """Closes this thread's connection; the next call makes a new one."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _call(self, method, path, body, query, timeout):
        from http.client import HTTPException
        from urllib.parse import urlencode
        if query:
            path += "?" + urlencode(query)
        while True:
            connection = getattr(self._local, "connection", None)
            kept = connection is not None and connection.sock is not None
            try:
                if kept:
                    connection.sock.settimeout(timeout)
                else:
                    connection = self._local.connection = self._connection(timeout)
                response = self._send(connection, method, path, body)
                return self._answer(response, response.read())
            except (OSError, HTTPException) as e:
                if isinstance(e, Error):
                    raise
                self.close()
                # A connection that lay idle may have been closed by the daemon meanwhile; a fresh one tells. Once anything of an answer came, the
                # daemon has acted, and to ask again would be to ask twice.
                unheard = kept and (not connection.sent or not connection.answered and isinstance(e, ConnectionError))
                if not unheard or isinstance(e, _TIMEOUTS):
                    raise self._unreachable(e) from e

    def _connection(self, timeout):
        from http.client import HTTPConnection, HTTPSConnection
        if self.url:
            https = self.url.scheme == "https"
            return (HTTPSConnection if https else HTTPConnection)(self.url.hostname, self.url.port, timeout=timeout)
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        s.settimeout(timeout)
        try:
            s.connect(self.socket)
        except OSError:
            s.close()
            raise
        connection = HTTPConnection("localhost", timeout=timeout)
        connection.sock = s
        return connection

    def _send(self, connection, method, path, body):
        from http.client import HTTPResponse

        def response(sock, **options):
            made = HTTPResponse(sock, **options)
            connection.answered = bool(made.fp.peek(1))
            return made
        connection.sent, connection.answered, connection.response_class = False, False, response
        headers = {}
        if self.url:
            if self._token_text():
                headers["Authorization"] = "Bearer " + self._token_text()
            path = self.url.path.rstrip("/") + path
        data = None
        if body is not None:
            data = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
            headers["Content-Type"] = "application/json"
        connection.request(method, path, data, headers)
        connection.sent = True
        return connection.getresponse()

    def _token_text(self):
        if self._token is None:
            named = self._token_file or os.environ.get("JOBBERS_TOKEN_FILE")
            path = named or TOKEN_FILE
            try:
                with open(path, encoding="utf-8") as f:
                    self._token = f.readline().strip()
            except OSError as e:
                # The daemon may do without (--no-auth), and says if not.
                if isinstance(e, FileNotFoundError) and not named:
                    self._token = ""
                    return ""
                raise Error(f"cannot read the token in {path}: {e.strerror}; give Client() a token or token_file") from e
        return self._token

    @staticmethod
    def _answer(response, data):
        try:
            value = json.loads(data)
        except ValueError:
            value = data.decode("utf-8", "replace")
        if 200 <= response.status < 300:
            return value
        value = value if isinstance(value, dict) else {}
        sentence = value.get("detail") or f"jobbersd answered {response.status} without saying why"
        raise (NotFound if response.status == 404 else Error)(sentence, response.status, value.get("errors", ()))

    def _unreachable(self, e):
        if self.socket and isinstance(e, PermissionError):
            return Unreachable(f'no right to use {self.where}: join the group "jobbers" (adduser USER jobbers, then log in again)', True)
        if self.socket and isinstance(e, (FileNotFoundError, ConnectionRefusedError)):
            what = "there is no" if isinstance(e, FileNotFoundError) else "nobody listens on"
            return Unreachable(f"jobbersd is not running: {what} {self.where}; start it: systemctl {self._whose}start jobbersd", True)
        if isinstance(e, (ConnectionRefusedError, socket.gaierror)):
            return Unreachable(f"nobody answers at {self.where}: {e.strerror}; on that host, see: systemctl status jobbersd", True)
        if isinstance(e, _TIMEOUTS):
            return Unreachable(f"jobbersd at {self.where} did not answer in time")
        return Unreachable(f"the connection to jobbersd at {self.where} broke off: {e or e.__class__.__name__}")


def new_id():
    """A ULID: 48 bits of milliseconds and 80 random ones, 26 characters that sort by the time they were made."""
    n = int(time.time() * 1000) << 80 | int.from_bytes(os.urandom(10), "big")
    return "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[n >> 5 * i & 31] for i in range(25, -1, -1))


def _user_socket():
    """As jobbersd --user places it."""
    runtime, state = os.environ.get("XDG_RUNTIME_DIR", ""), os.environ.get("XDG_STATE_HOME", "")
    if runtime.startswith("/"):
        return f"{runtime}/jobbers/jobbers.sock"
    return (state if state.startswith("/") else os.path.expanduser("~/.local/state")) + "/jobbers/run/jobbers.sock"


def _task_path(before, id, after=""):
    from urllib.parse import quote
    return before + quote(str(id), safe="") + after


def _time_text(run_at):
    import datetime
    if isinstance(run_at, str):
        return run_at
    if isinstance(run_at, datetime.timedelta):
        run_at = datetime.datetime.now(datetime.timezone.utc) + run_at
    return run_at.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # without a zone: local time
