"""Fixtures of the tests on a real systemd: a machine with the built package, installed as an administrator would.

--full adds the long ones (make check-systemd-full). JOBBERS_DEBS names the folder of the packages, build/ by default.
"""
import glob
import http.client
import json
import os
import pathlib
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vm import Vm  # noqa: E402

FINAL = ("completed", "failed", "cancelled", "stalled", "dropped")
ROOT = pathlib.Path(__file__).resolve().parents[2]


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="also the tests that take minutes")


def pytest_configure(config):
    config.addinivalue_line("markers", "full: takes minutes; only with --full")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--full"):
        short = [i for i in items if not i.get_closest_marker("full")]
        config.hook.pytest_deselected(items=[i for i in items if i not in short])
        items[:] = short


class Machine(Vm):
    """A Vm with the package in it, and its API."""

    token = None
    failures = 0                # of the session, when it was last put in order

    @staticmethod
    def debs():
        return [pathlib.Path(p) for p in glob.glob(os.path.join(os.environ.get("JOBBERS_DEBS", ROOT / "build"), "*.deb"))]

    def install(self):
        assert self.debs(), "there is no package: make deb"
        self.sh("mkdir -p /root/debs")
        for deb in self.debs():
            self.sh(f"cat >/root/debs/{deb.name}", stdin=deb.read_bytes())
        self.sh("apt-get install -qy /root/debs/*.deb </dev/null 2>&1", timeout=1800)
        self.token = self.sh("cat /etc/jobbers/token")

    # ── the API, through the forwarded port ──
    def call(self, method, path, body=None, token=None, timeout=90):
        """(status, decoded answer). Not one refused connection is tolerated."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=timeout)
        headers = {"Host": "localhost:8000", "Authorization": f"Bearer {token or self.token}"}
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body), "application/json"
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def get(self, path):
        status, answer = self.call("GET", path)
        assert status == 200, (path, status, answer)
        return answer

    def submit(self, name, parameters=None, version=1, **more):
        status, answer = self.call("POST", "/submit-task", {"name": name, "version": version, "parameters": parameters or {}, **more})
        assert status == 200, answer
        return answer["task"]["id"]

    def submit_many(self, name, n, parameters=None, version=1, **more):
        ids = []
        while n > 0:
            some = min(n, 1000)
            status, answer = self.call("POST", "/submit-tasks", {"tasks": [{"name": name, "version": version, "parameters": parameters or {}, **more}] * some})
            assert status == 200, answer
            ids += [t["id"] for t in answer["tasks"]]
            n -= some
        return ids

    def final(self, task_id, timeout=600):
        """The record once it is final."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            record = self.get(f"/task-status/{task_id}?wait=20")
            if record["status"] in FINAL:
                return record
        raise AssertionError(f"not final within {timeout} s: {record}\n{self.journal()}")

    def started(self, task_id, timeout=300):
        self.wait_for(lambda: self.get(f"/task-status/{task_id}")["status"] == "started", timeout)

    def count(self, **filters):
        """How many tasks match, by pages."""
        query = "&".join(f"{k}={v}" for k, v in filters.items())
        n, cursor = 0, ""
        while True:
            page = self.get(f"/task-list?limit=100&{query}{cursor}")
            n += len(page["tasks"])
            if not page.get("next"):
                return n
            cursor = f"&cursor={page['next']}"

    @staticmethod
    def wait_for(condition, timeout=300):
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, "gave up waiting"
            time.sleep(0.2)

    def run(self, name, parameters=None, **more):
        return self.final(self.submit(name, parameters, **more))

    # ── definitions ──
    def define(self, name, script, reload=True, resources=None, **keys):
        """A task that runs a shell script."""
        self.write(f"/opt/tasks/{name}", f"#!/bin/bash\n{script}\n", "0755")
        lines = [f"Name={name}", "Version=1", f"ExecStart=/opt/tasks/{name}"] + [f"{k}={v}" for k, v in keys.items()]
        if resources:
            lines += ["[Resources]"] + [f"{k}={v}" for k, v in resources.items()]
        self.write(f"/etc/jobbers/tasks.d/{name}.task", "[Task]\n" + "\n".join(lines) + "\n")
        if reload:
            self.sh("systemctl reload jobbersd")

    # ── what is there ──
    def journal(self, lines=60):
        return self.sh(f"journalctl -q -b -n {lines} --no-pager -u jobbersd -u jobbers-launcher")

    def scopes(self):
        return self.sh("systemctl list-units --all --plain --no-legend 'jobbers-task-*'").splitlines()

    def cgroups(self):
        """Cgroups of attempts, wherever they are."""
        return self.sh("find /sys/fs/cgroup -type d -name '*jobbers-task*' | sort").splitlines()

    def nothing_is_left(self):
        """Of attempts that are over. A supervisor rests for a second first, in case there is another for it."""
        self.wait("! systemctl list-units --all --plain --no-legend 'jobbers-task-*' | grep -q .")
        self.wait('[ -z "$(ls /run/jobbers/attempts)" ]')
        assert self.cgroups() == []
        assert self.sh("pgrep -u jobbers-task || true") == ""
        assert self.sh("find /run/jobbers/records /var/lib/jobbers/records -type f -not -name .birth") == ""

    def pids_of(self, pattern):
        return self.sh(f"pgrep -f '{pattern}' || true").split()


@pytest.fixture(scope="session")
def session_machine():
    m = Machine()
    try:
        m.start()
        m.install()
        yield m
    finally:
        m.close()


@pytest.fixture
def machine(session_machine, request):
    """The shared machine, with the daemon running whatever the test before did; one that failed leaves it no tasks either."""
    m = session_machine
    if m.sh("systemctl is-active jobbersd", check=False)[1] != "active":
        m.sh("systemctl reset-failed; systemctl start jobbersd")
    if request.session.testsfailed != m.failures:
        m.failures = request.session.testsfailed
        for status in ("submitted", "scheduled", "started"):
            m.call("POST", "/tasks/cancel", {"status": status})
        m.wait_for(lambda: m.get("/task-list?status=started")["tasks"] == [])
    return m


@pytest.fixture
def fresh_machine():
    """One of its own, not installed yet."""
    m = Machine()
    try:
        m.start()
        yield m
    finally:
        m.close()
