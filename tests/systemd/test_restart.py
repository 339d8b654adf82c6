"""Restarts, crashes, upgrades, host shutdowns and power cuts in the middle of tasks."""
import http.client
import os
import pathlib
import random
import subprocess
import tempfile
import threading
import time

import pytest

# A fifo holds tasks without costing the emulated processors anything; a plain file in its place lets them through.
HERE = "/var/lib/jobbers-task"
WAIT = f"[ ! -p {HERE}/go ] || read -r _ <{HERE}/go || true"
# Tells its start and its pid, then waits: a second start would be seen.
HOLD = """echo "$JOBBERS_TASK_ID $JOBBERS_ATTEMPT $$" >>/var/lib/jobbers-task/starts
""" + WAIT + """
echo "{\\"pid\\": $$}" >$JOBBERS_RESULT"""


def close_gate(machine):
    machine.sh(f"rm -f {HERE}/go {HERE}/starts && runuser -u jobbers-task mkfifo {HERE}/go")


def hold(machine, n, **keys):
    """n tasks that run until release(), all started."""
    close_gate(machine)
    machine.define("keep", HOLD, MaxConcurrent=0, **keys)
    machine.call("PUT", "/queues/default", {"name": "default", "max_concurrent": 0})
    ids = machine.submit_many("keep", n)
    machine.wait(f"[ $(cat /var/lib/jobbers-task/starts | wc -l) -ge {n} ]", 900)
    return ids


def release(machine):
    # First for those to come, then for those that wait: an end of the fifo that is opened and closed.
    machine.sh(f"cd {HERE} && touch open && exec 3<>go && mv open go")


def starts(machine):
    return sorted(line.split()[0] for line in machine.sh("cat /var/lib/jobbers-task/starts").splitlines())


def pids(machine):
    return [line.split()[2] for line in machine.sh("cat /var/lib/jobbers-task/starts").splitlines()]


def alive(machine):
    """Those of the processes in starts that still are what they were."""
    return machine.sh("for p in $(cut -d' ' -f3 /var/lib/jobbers-task/starts); do grep -qsa /opt/tasks/keep /proc/$p/cmdline && echo $p; done; true").split()


@pytest.fixture
def slots(machine):
    """Room for a hundred at once."""
    machine.write("/etc/jobbers/jobbersd.conf.d/tests.conf", "Slots=200\n")
    machine.sh("systemctl restart jobbersd")
    yield machine
    machine.sh("rm /etc/jobbers/jobbersd.conf.d/tests.conf; systemctl reset-failed; systemctl restart jobbersd")


def kill_daemon(m):
    pid = m.sh("systemctl show -p MainPID --value jobbersd")
    m.sh(f"kill -9 {pid}")
    m.wait(f"p=$(systemctl show -p MainPID --value jobbersd); [ $p != {pid} ] && [ $p != 0 ] && systemctl is-active jobbersd")


def kill_launcher(m):
    m.sh("systemctl kill -s KILL --kill-who=main jobbers-launcher.service")
    m.wait("systemctl is-active jobbers-launcher.service")


def upgrade(m):
    """To the same package under a later version, made out here where it is fast."""
    with tempfile.TemporaryDirectory(dir=m.work) as d:
        (deb,) = [deb for deb in m.debs() if deb.name.startswith("jobbers_")]
        subprocess.run(f"dpkg-deb -R {deb} {d}/up && sed -i 's/^Version: .*/&+later{time.time_ns()}/' {d}/up/DEBIAN/control && "
                       f"dpkg-deb -Zgzip -b --root-owner-group {d}/up {d}/up.deb", shell=True, check=True, stdout=subprocess.DEVNULL)
        m.sh("cat >/root/up.deb", stdin=pathlib.Path(f"{d}/up.deb").read_bytes())
    m.sh("apt-get install -qy /root/up.deb </dev/null 2>&1", timeout=1800)


DISTURBANCES = {"restart": lambda m: m.sh("systemctl restart jobbersd", timeout=600), "kill": kill_daemon, "launcher": kill_launcher, "upgrade": upgrade,
                "launcher-restart": lambda m: m.sh("systemctl restart jobbers-launcher.service"), "both": lambda m: (kill_launcher(m), kill_daemon(m)),
                "stopped": lambda m: m.sh("systemctl stop jobbersd; sleep 2; systemctl start jobbersd")}


@pytest.mark.parametrize("how", [h if h in ("restart", "kill", "upgrade") else pytest.param(h, marks=pytest.mark.full) for h in DISTURBANCES])
def test_continue_tasks_live_through(slots, how, request):
    machine = slots
    N = 100 if request.config.getoption("--full") else 30
    ids = hold(machine, N, OnShutdown="continue")
    begun = pids(machine)
    DISTURBANCES[how](machine)
    assert alive(machine) == begun and len(begun) == N
    release(machine)
    records = [machine.final(task) for task in ids]
    assert [r["status"] for r in records] == ["completed"] * N
    assert sorted(str(r["results"]["pid"]) for r in records) == sorted(begun)
    assert all(len(r["attempts"]) == 1 for r in records) and starts(machine) == sorted(ids)
    machine.wait("! systemctl list-units --all --plain --no-legend 'jobbers-task-*' | grep -q .")


def test_subprocess_attempts_outlive_their_launcher(slots):
    """systemd could not start the launcher again if they lived in its own unit."""
    machine = slots
    ids = hold(machine, 5, OnShutdown="continue", Launcher="subprocess")
    begun = pids(machine)
    machine.define("meanwhile", "exit 0", Launcher="subprocess")
    for disturb in (kill_launcher, lambda m: m.sh("systemctl restart jobbers-launcher.service")):
        disturb(machine)
        assert machine.run("meanwhile")["status"] == "completed"
        assert alive(machine) == begun
    release(machine)
    records = [machine.final(task) for task in ids]
    assert [r["status"] for r in records] == ["completed"] * 5 and all(len(r["attempts"]) == 1 for r in records)
    assert machine.sh("systemctl is-active jobbers-launcher.service") == "active"


@pytest.mark.full
def test_a_launcher_that_is_killed_while_it_launches(slots):
    """Starts that were under way are made again, at no cost, and none is made twice."""
    machine = slots
    close_gate(machine)
    release(machine)
    machine.define("keep", HOLD, MaxConcurrent=0)
    machine.call("PUT", "/queues/default", {"name": "default", "max_concurrent": 0})
    ids = machine.submit_many("keep", 300)
    for n in (30, 90, 150, 210):
        machine.wait(f"[ $(cat /var/lib/jobbers-task/starts | wc -l) -ge {n} ]", 1800)
        kill_launcher(machine)
    records = [machine.final(task, 600) for task in ids]
    assert {r["status"] for r in records} == {"completed"}
    assert {(r["retry_attempt"], len(r["attempts"])) for r in records} == {(0, 1)}
    assert starts(machine) == sorted(ids)
    machine.wait("! systemctl list-units --all --plain --no-legend 'jobbers-task-*' | grep -q .")
    assert machine.cgroups() == []


@pytest.mark.parametrize("policy, status", [("stop", "stalled"), ("resubmit", "completed")])
def test_a_supervisor_that_is_killed_leaves_nothing(slots, policy, status):
    """Its scope is emptied by the launcher and removed by systemd, which would keep the unit for ever if the cgroup just vanished."""
    machine = slots
    ids = hold(machine, 4, OnShutdown=policy)
    begun = pids(machine)
    machine.sh("for p in $(cut -d' ' -f3 /var/lib/jobbers-task/starts); do kill -9 $(ps -o ppid= -p $p); done")
    machine.wait(f"for p in {' '.join(begun)}; do ! [ -e /proc/$p ] || exit 1; done")
    release(machine)
    records = [machine.final(task) for task in ids]
    assert [r["status"] for r in records] == [status] * 4
    assert all(r["attempts"][0]["end_reason"] == "host-lost" and r["retry_attempt"] == 0 for r in records), records
    machine.wait("! systemctl list-units --all --plain --no-legend 'jobbers-task-*' | grep -q .")
    assert machine.cgroups() == []


def test_results_reached_while_the_daemon_is_down_are_kept(slots):
    machine = slots
    ids = hold(machine, 20, OnShutdown="continue")
    machine.sh("systemctl stop jobbersd.socket jobbersd.service", timeout=600)
    release(machine)
    machine.wait_for(lambda: alive(machine) == [])
    machine.sh("systemctl start jobbersd")
    assert [machine.final(task)["status"] for task in ids] == ["completed"] * 20


def test_policies_over_stop(slots):
    machine = slots
    close_gate(machine)
    for policy in ("stop", "resubmit", "continue"):
        machine.define(f"on-{policy}", WAIT, OnShutdown=policy)
    task = {policy: machine.submit(f"on-{policy}") for policy in ("stop", "resubmit", "continue")}
    for t in task.values():
        machine.started(t)
    machine.sh("systemctl stop jobbersd.socket jobbersd.service", timeout=600)
    running = machine.sh("pgrep -u jobbers-task -af /opt/tasks/on- || true")
    assert "on-continue" in running and "on-stop" not in running and "on-resubmit" not in running
    machine.sh("systemctl start jobbersd.socket jobbersd.service")
    assert machine.final(task["stop"])["status"] == "stalled"
    machine.started(task["resubmit"])
    release(machine)
    again, kept = machine.final(task["resubmit"]), machine.final(task["continue"])
    assert (again["status"], again["retry_attempt"], len(again["attempts"])) == ("completed", 0, 2)
    assert again["attempts"][0]["end_reason"] == "shutdown"
    assert (kept["status"], len(kept["attempts"])) == ("completed", 1)


CLIENT = """
import os, socket
served = refused = cut = 0
while not os.path.exists("/run/client-stop"):
    for address in (("127.0.0.1", 8000), "/run/jobbers/jobbers.sock"):
        s = socket.socket(socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX)
        s.settimeout(60)
        try:
            s.connect(address)
        except OSError:
            refused += 1
            continue
        try:
            s.sendall(b"GET /health HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
            if s.recv(4096).startswith(b"HTTP/1.1 200"):
                served += 1
            else:
                cut += 1
        except OSError:
            cut += 1
        s.close()
print(served, refused, cut)
"""


def served_during(machine, disturb):
    """What a client saw that connects all the time: (served, refused, cut)."""
    machine.sh("rm -f /run/client-stop")
    said = []
    client = threading.Thread(target=lambda: said.append(machine.sh("python3 -", stdin=CLIENT, timeout=1800)))
    client.start()
    try:
        disturb()
    finally:
        machine.sh("touch /run/client-stop")
        client.join()
    return map(int, said[0].split())


def test_no_connection_is_refused_over_a_restart(machine):
    """The sockets are systemd's: a client that comes while the daemon restarts waits a little, and is served."""
    served, refused, cut = served_during(machine, lambda: [machine.sh("systemctl restart jobbersd", timeout=600) for _ in range(3)])
    # One that the old daemon had accepted may see its end, and no other.
    assert served > 20 and refused == 0 and cut <= 6, (served, refused, cut)


def test_no_connection_is_refused_over_an_upgrade(machine):
    began = machine.sh("systemctl show -p ActiveEnterTimestampMonotonic jobbersd.socket jobbers-launcher.socket")
    pid = machine.sh("systemctl show -p MainPID --value jobbersd")
    served, refused, cut = served_during(machine, lambda: upgrade(machine))
    assert machine.sh("systemctl show -p MainPID --value jobbersd") != pid
    assert served > 20 and refused == 0 and cut <= 1, (served, refused, cut)
    assert machine.sh("systemctl show -p ActiveEnterTimestampMonotonic jobbersd.socket jobbers-launcher.socket") == began


def test_daemon_is_restarted_when_it_hangs(machine):
    """The watchdog is systemd's and the loop's: a daemon that no longer turns is killed and replaced."""
    machine.sh("mkdir -p /run/systemd/system/jobbersd.service.d && printf '[Service]\\nWatchdogSec=3\\nTimeoutAbortSec=2\\n' "
               ">/run/systemd/system/jobbersd.service.d/watchdog.conf && systemctl daemon-reload && systemctl restart jobbersd")
    try:
        pid = machine.sh("systemctl show -p MainPID --value jobbersd")
        time.sleep(8)
        assert machine.sh("systemctl show -p MainPID --value jobbersd") == pid
        machine.sh(f"kill -STOP {pid}")
        machine.wait(f"p=$(systemctl show -p MainPID --value jobbersd); [ $p != {pid} ] && [ $p != 0 ] && systemctl is-active jobbersd", 60)
    finally:
        machine.sh("rm -r /run/systemd/system/jobbersd.service.d; systemctl daemon-reload; systemctl reset-failed; systemctl restart jobbersd")


# ── the host ──

@pytest.fixture
def own_machine(fresh_machine):
    fresh_machine.install()
    return fresh_machine


def in_the_middle(m):
    """One running task of each policy, one waiting for its time, and one that has ended."""
    close_gate(m)
    for policy in ("stop", "resubmit", "continue"):
        m.define(f"on-{policy}", WAIT, OnShutdown=policy)
    m.define("done", "exit 0")
    m.sh("sync")        # the definitions are ours to keep; all else is the daemon's
    tasks = {policy: m.submit(f"on-{policy}") for policy in ("stop", "resubmit", "continue")}
    tasks["done"] = m.submit("done")
    status, answer = m.call("POST", "/schedule-task", {"task": {"name": "done", "version": 1}, "run_at": m.sh("date -u -d '+300 days' +%FT%TZ")})
    assert status == 200
    tasks["scheduled"] = answer["task"]["id"]
    for policy in ("stop", "resubmit", "continue"):
        m.started(tasks[policy])
    assert m.final(tasks["done"])["status"] == "completed"
    return tasks


def as_specified(m, tasks, reasons):
    m.wait("systemctl is-active jobbersd", 600)
    m.wait_for(lambda: m.call("GET", "/health")[0] == 200)
    stopped, kept = m.final(tasks["stop"]), m.final(tasks["continue"])
    assert (stopped["status"], kept["status"]) == ("stalled", "stalled"), (stopped, kept)
    for record in (stopped, kept):
        assert record["attempts"][-1]["end_reason"] in reasons and record["last_error"], record
    m.started(tasks["resubmit"])
    release(m)
    again = m.final(tasks["resubmit"])
    assert (again["status"], again["retry_attempt"], len(again["attempts"])) == ("completed", 0, 2), again
    assert m.get(f"/task-status/{tasks['done']}")["status"] == "completed"
    assert m.get(f"/task-status/{tasks['scheduled']}")["status"] == "scheduled"


def test_power_cut(machine):
    m = machine
    tasks = in_the_middle(m)
    m.cut()
    m.start()
    as_specified(m, tasks, ("host-lost",))


@pytest.mark.full
def test_reboot(own_machine):
    m = own_machine
    tasks = in_the_middle(m)
    m.reboot()
    as_specified(m, tasks, ("shutdown", "host-lost"))


@pytest.mark.full
def test_clean_power_off(own_machine):
    m = own_machine
    tasks = in_the_middle(m)
    begun = time.monotonic()
    m.poweroff()
    assert time.monotonic() - begun < 60
    m.start()
    as_specified(m, tasks, ("shutdown", "host-lost"))


@pytest.mark.full
def test_power_cuts_lose_nothing_acknowledged(own_machine):
    """qemu is killed under load: boot, units and recovery as they really are. The order of what the disk had written is not tested by that,
    since the host's page cache lives on; tests/fault/campaign_power.py does that."""
    m = own_machine
    m.define("count", "echo $JOBBERS_TASK_ID >>/var/lib/jobbers-task/ran", MaxConcurrent=0, OnShutdown="resubmit")
    m.sh("sync")
    acknowledged, final = [], {}
    for n in range(int(os.environ.get("JOBBERS_POWER_CUTS", "5"))):
        stop = threading.Event()

        def submit():
            while not stop.is_set():
                try:
                    acknowledged.append(m.submit("count"))
                except (OSError, AssertionError, http.client.HTTPException):
                    pass

        threads = [threading.Thread(target=submit) for _ in range(4)]
        for t in threads:
            t.start()
        time.sleep(random.uniform(1, 4))
        m.cut()
        stop.set()
        for t in threads:
            t.join()
        m.start()
        m.wait_for(lambda: m.call("GET", "/health")[0] == 200)
        for task in acknowledged:
            if task not in final:
                final[task] = m.final(task, 300)["status"]
        assert set(final.values()) == {"completed"}, (n, final)
        print(f"cut {n + 1}: {len(acknowledged)} acknowledged, all completed", flush=True)
    assert len(acknowledged) > 20 * n
    m.wait("! systemctl list-units --all --plain --no-legend 'jobbers-task-*' | grep -q .")
    assert m.cgroups() == [] and m.sh("find /run/jobbers/records /var/lib/jobbers/records -type f -not -name .birth") == ""


# ── many, and the system under them ──

EMPTY = r"""
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(void) {
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        strncpy(a.sun_path, getenv("NOTIFY_SOCKET"), sizeof a.sun_path - 1);
        size_t n = offsetof(struct sockaddr_un, sun_path) + strlen(a.sun_path);
        if (a.sun_path[0] == '@')
                a.sun_path[0] = 0;
        if (sendto(socket(AF_UNIX, SOCK_DGRAM, 0), "READY=1", 7, 0, (struct sockaddr *) &a, n) < 0)
                return 1;
        for (;;)
                pause();
}
"""


def empty_unit(m):
    """A service that is ready at once and does nothing: what systemd alone takes for a restart."""
    with tempfile.TemporaryDirectory(dir=m.work) as d:
        subprocess.run(["gcc", "-O2", "-static", "-x", "c", "-o", f"{d}/empty", "-"], input=EMPTY.encode(), check=True)
        m.sh("install -m 0755 /dev/stdin /usr/local/bin/empty", stdin=pathlib.Path(f"{d}/empty").read_bytes())
    m.write("/etc/systemd/system/empty.service", "[Service]\nType=notify\nExecStart=/usr/local/bin/empty\n")


@pytest.mark.full
def test_restart_with_a_thousand_attempts(own_machine):
    m = own_machine
    m.sh("systemctl stop jobbersd && mkdir -p /etc/jobbers/jobbersd.conf.d && printf 'Slots=1000\\n' >/etc/jobbers/jobbersd.conf.d/tests.conf; systemctl start jobbersd")
    empty_unit(m)
    m.define("keep", "exec sleep 100000", MaxConcurrent=0, OnShutdown="continue")
    m.call("PUT", "/queues/default", {"name": "default", "max_concurrent": 0})
    ids = m.submit_many("keep", 1000)
    m.wait("[ $(pgrep -cu jobbers-task -x sleep) = 1000 ]", 3600)
    m.sh("systemctl daemon-reload; systemctl start empty")

    def restart(unit):
        return int(m.sh(f"a=$(date +%s%3N); systemctl restart {unit}; b=$(date +%s%3N); echo $((b - a))", timeout=600))

    empty = min(restart("empty") for _ in range(3))
    ours = min(restart("jobbersd") for _ in range(3))
    print(f"restart: empty unit {empty} ms, jobbersd with 1,000 attempts {ours} ms")
    assert ours <= 3 * empty + 1000
    assert m.sh("pgrep -cu jobbers-task -x sleep") == "1000"
    assert m.call("POST", "/tasks/cancel", {"task_ids": ids})[0] == 200
    for task in ids:
        assert m.final(task, 3600)["status"] == "cancelled"
    m.wait("! systemctl list-units --all --plain --no-legend 'jobbers-task-*' | grep -q .")


@pytest.mark.full
@pytest.mark.parametrize("trouble", ["daemon-reexec", "dbus", "failing"])
def test_nothing_is_left_after(slots, trouble):
    m = slots
    m.define("bad", "exit 1", MaxConcurrent=0)
    m.call("PUT", "/queues/default", {"name": "default", "max_concurrent": 0})
    ids = m.submit_many("bad", 5000 if trouble == "failing" else 300)
    if trouble == "daemon-reexec":
        for _ in range(10):
            m.sh("systemctl daemon-reexec")
            time.sleep(1)
    elif trouble == "dbus":
        m.sh("systemctl stop dbus.socket dbus.service", check=False)
        time.sleep(60)
        m.sh("systemctl start dbus.socket dbus.service")
    for task in ids:
        record = m.final(task, 7200)
        assert record["status"] == "failed" and len(record["attempts"]) == 1, record
    m.nothing_is_left()
    assert m.sh("systemctl show -p NRestarts --value jobbersd") == "0"
    assert m.run("bad")["status"] == "failed"
