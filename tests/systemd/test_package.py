"""The package: running after install, who may use it, reload, hardening, the user's own daemon, and nothing left after purge."""
import json
import pathlib
import re
import subprocess

import pytest
from conftest import Machine


def test_what_the_packages_scripts_do(tmp_path):
    """To which units: an upgrade restarts the services and leaves the sockets alone, which a purge forgets all the same."""
    (deb,) = [deb for deb in Machine.debs() if deb.name.startswith("jobbers_")]
    subprocess.run(["dpkg-deb", "-e", deb, tmp_path / "scripts"], check=True)
    done = {}
    for script in ("postinst", "prerm", "postrm"):
        for verb, units in re.findall(r"deb-systemd-(?:invoke|helper) (?:--quiet )?([$a-z_-]+) ((?:'[^']+' ?)+)", pathlib.Path(tmp_path / "scripts" / script).read_text()):
            done.setdefault((script, verb), set()).update(re.findall("'(.*?)'", units))
    services, sockets = {"jobbersd.service", "jobbers-launcher.service"}, {"jobbersd.socket", "jobbers-launcher.socket"}
    enabled = {"jobbersd.service"} | sockets
    assert done == {
        ("postinst", "$_dh_action"): services,
        ("postinst", "start"): {"jobbers-attempts.service"} | sockets,
        **{("postinst", verb): enabled for verb in ("unmask", "was-enabled", "enable", "update-state")},
        ("prerm", "stop"): {"jobbers-attempts.service"} | services | sockets,
        ("postrm", "purge"): enabled,
    }


def test_runs_after_install(machine):
    assert machine.sh("systemctl is-active jobbersd.service jobbersd.socket jobbers-launcher.socket").split() == ["active"] * 3
    assert machine.sh("systemctl is-enabled jobbersd.service jobbersd.socket jobbers-launcher.socket").split() == ["enabled"] * 3
    assert machine.sh("systemctl show -p NRestarts --value jobbersd") == "0"
    assert "listening on" in machine.sh("systemctl show -p StatusText --value jobbersd")
    assert machine.sh("stat -c '%a %U:%G' /etc/jobbers/token /var/lib/jobbers /run/jobbers/jobbers.sock /run/jobbers/launcher.sock").splitlines() == [
        "640 root:jobbers", "700 jobbers:jobbers", "660 root:jobbers", "600 jobbers:jobbers"]


def test_daemon_has_no_rights(machine):
    status = machine.sh("cat /proc/$(systemctl show -p MainPID --value jobbersd)/status")
    field = dict(re.findall(r"^(\w+):\s*(.*)$", status, re.M))
    uid = machine.sh("id -u jobbers")
    assert field["Uid"].split() == [uid] * 4
    assert all(int(field[k], 16) == 0 for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    assert field["NoNewPrivs"] == "1" and field["Seccomp"] == "2"


def test_units_are_sound(machine):
    score = machine.sh("systemd-analyze security jobbersd.service --no-pager | tail -n 1")
    assert float(re.search(r"([0-9.]+) [A-Z]+", score).group(1)) <= 2.0, score
    said = machine.sh("systemd-analyze --man=no verify jobbersd.service jobbersd.socket jobbers-launcher.service jobbers-launcher.socket "
                      "jobbers-attempts.service jobbers.slice 2>&1")
    assert said == ""
    # The daemon's sandbox is not the tasks': they get a writable /tmp, homes, new privileges.
    machine.define("look", "[ -w /tmp ] && grep -q 'NoNewPrivs:.0' /proc/self/status && grep -q 'Seccomp:.0' /proc/self/status && ls /sys/fs/cgroup")
    assert machine.run("look")["status"] == "completed"


def test_the_guides_commands(machine):
    """As printed in the guide, given the token and the queues they name."""
    def curl(arguments):
        return json.loads(machine.sh(f"curl -sS -H \"Authorization: Bearer $(cat /etc/jobbers/token)\" {arguments}"))

    json_type = "-H 'Content-Type: application/json'"
    made = curl(f"""-X POST http://localhost:8000/queues {json_type} -d '{{"name": "reports", "max_concurrent": 5, "rate_numerator": 100,
                "rate_denominator": 1, "rate_period": "hour"}}'""")
    assert made["queue"]["name"] == "reports"
    curl(f"""-X PUT http://localhost:8000/roles/default {json_type} -d '["default", "reports"]'""")
    answer = curl(f"""-X POST http://localhost:8000/submit-task {json_type} -d '{{"id": "01JBKR2E5F3G4H5J6K7L8M9N0P", "name": "generate_report",
                  "version": 1, "queue": "reports", "parameters": {{"report_id": 42}}}}'""")
    assert answer["message"] == "Task submitted successfully" and answer["task"]["queue"] == "reports"
    record = curl("'http://localhost:8000/task-status/01JBKR2E5F3G4H5J6K7L8M9N0P?wait=60'")
    assert record["status"] == "completed" and record["last_error"] is None, record
    assert record["results"]["url"].endswith("/42.html")
    page = machine.sh("cat " + record["results"]["url"].removeprefix("file://"))
    assert "Report 42" in page
    assert isinstance(curl("'http://localhost:8000/task-list?status=started&queue=reports'")["tasks"], list)
    assert curl("-X POST http://localhost:8000/task/01JBKR2E5F3G4H5J6K7L8M9N0P/cancel")["detail"]
    assert "tasks" in curl("'http://localhost:8000/dead-letter-queue?task_name=generate_report&limit=25'")
    assert "reports" in curl("http://localhost:8000/queues")["queues"]


def test_who_may_call(machine):
    socket = "curl -sS --unix-socket /run/jobbers/jobbers.sock http://localhost/queues"
    assert "queues" in machine.sh(socket)
    status, said = machine.sh(f"runuser -u alice -- {socket}", check=False)
    assert status != 0 and "default" not in said
    machine.sh("usermod -aG jobbers alice")
    try:
        assert "default" in machine.sh(f"runuser -u alice -- {socket}")
    finally:
        machine.sh("gpasswd -d alice jobbers")
    assert machine.sh("curl -s -o /dev/null -w '%{http_code}' http://localhost:8000/queues") == "401"
    assert machine.sh("curl -s -o /dev/null -w '%{http_code}' -H 'Authorization: Bearer wrong' http://localhost:8000/queues") == "401"
    status, _ = machine.sh("runuser -u alice -- cat /etc/jobbers/token", check=False)
    assert status != 0


def test_reload_returns_when_it_is_done(machine):
    for n in range(5):
        machine.define(f"new{n}", "echo", reload=False)
        machine.sh("systemctl reload jobbersd")
        assert machine.call("GET", f"/definitions/new{n}/1")[0] == 200
    # A broken file is reported and its last good version stays in force.
    machine.sh("sed -i s/Version=1/Version=x/ /etc/jobbers/tasks.d/new0.task && systemctl reload jobbersd")
    assert machine.call("GET", "/definitions/new0/1")[0] == 200
    machine.wait("journalctl -q -b -u jobbersd | grep -q '/etc/jobbers/tasks.d/new0.task'")
    assert machine.sh("systemctl is-active jobbersd") == "active"
    machine.sh("rm /etc/jobbers/tasks.d/new*.task && systemctl reload jobbersd")
    assert machine.call("GET", "/definitions/new1/1")[0] == 404


def test_a_packages_definitions_are_read(machine):
    """jobbers-examples only installs files; the trigger of the package does the rest."""
    names = {(d["name"], d["version"]) for d in machine.get("/definitions")["definitions"]}
    assert {("generate_report", 1), ("bulk_import", 1), ("send_email", 1)} <= names


def test_a_stopped_daemon_is_not_started_for_them(machine):
    """Its sockets still listen, and whoever asked for a reload would start it."""
    trigger = "dpkg-trigger --by-package=jobbers-examples --no-await /usr/lib/jobbers/tasks.d && dpkg --triggers-only jobbers"
    machine.sh("systemctl stop jobbersd.service")
    machine.sh(trigger)
    assert machine.sh("systemctl is-active jobbersd.service jobbersd.socket", check=False)[1].split() == ["inactive", "active"]
    machine.define("late", "echo", reload=False)
    machine.sh("systemctl start jobbersd.service; sed -i s/Version=1/Version=2/ /etc/jobbers/tasks.d/late.task")
    machine.sh(trigger)
    assert machine.call("GET", "/definitions/late/2")[0] == 200
    machine.sh("rm /etc/jobbers/tasks.d/late.task && systemctl reload jobbersd")


def test_started_by_hand(machine):
    """As root, beside systemd: it becomes user jobbers, and its group for the journal comes from the sysusers file."""
    machine.sh("systemctl stop jobbersd.socket jobbersd.service")
    try:
        machine.define("hand", "echo by hand; id -un", reload=False)
        machine.sh("setsid jobbersd --state-dir=/var/lib/jobbers-hand --listen=unix:/run/jobbers-hand.sock </dev/null >/run/jobbers-hand.log 2>&1 & "
                   "echo $! >/run/jobbers-hand.pid")
        call = "curl -sS --unix-socket /run/jobbers-hand.sock http://localhost"
        machine.wait(f"{call}/health")
        pid = machine.sh("cat /run/jobbers-hand.pid")
        assert machine.sh(f"ps -o user= -p {pid}") == "jobbers"
        answer = json.loads(machine.sh(f"""{call}/submit-task -H 'Content-Type: application/json' -d '{{"name": "hand", "version": 1}}'"""))
        record = json.loads(machine.sh(f"{call}/task-status/{answer['task']['id']}?wait=60"))
        assert record["status"] == "completed" and record["scope"].endswith(".scope"), record
        assert machine.sh(f"{call}/task/{record['id']}/logs?lifecycle=false").splitlines() == ["by hand", "jobbers-task"]
        machine.sh(f"kill {pid}")
        machine.wait(f"! kill -0 {pid}")
    finally:
        machine.sh("kill -9 $(cat /run/jobbers-hand.pid) 2>/dev/null; rm -rf /var/lib/jobbers-hand /run/jobbers-hand.* /etc/jobbers/tasks.d/hand.task; "
                   "systemctl start jobbersd.socket jobbersd.service")


def test_in_the_terminal(machine):
    said = machine.sh("jobbers-run generate_report report_id=7")
    assert "/7.html" in said
    status, said = machine.sh("jobbers-run send_email to=nobody body=x", check=False)
    assert status == 1 and "no mailbox" in said


def test_a_users_own_daemon(machine):
    machine.sh("loginctl enable-linger alice")
    machine.wait("systemctl is-active user@$(id -u alice).service")
    machine.sh("install -d -o alice -g alice /home/alice/.config /home/alice/.config/jobbers /home/alice/.config/jobbers/tasks.d")
    machine.sh("install -o alice -g alice /dev/stdin /home/alice/.config/jobbers/tasks.d/who.task",
               stdin="[Task]\nName=who\nVersion=1\nExecStart=/bin/sh -c 'id -un; cat /proc/self/cgroup'\n")
    machine.sh("systemctl --user -M alice@ enable --now jobbersd.service")
    socket = "--unix-socket /run/user/$(id -u alice)/jobbers/jobbers.sock"
    answer = json.loads(machine.sh(f"runuser -u alice -- curl -sS {socket} http://localhost/submit-task -H 'Content-Type: application/json' "
                                   """-d '{"name": "who", "version": 1}'"""))
    task = answer["task"]["id"]
    record = json.loads(machine.sh(f"runuser -u alice -- curl -sS {socket} 'http://localhost/task-status/{task}?wait=60'"))
    assert record["status"] == "completed", record
    assert record["scope"].endswith(".scope"), record
    machine.sh("systemctl --user -M alice@ stop jobbersd.service jobbersd.socket")
    machine.sh("loginctl disable-linger alice")


@pytest.mark.full
def test_purge_leaves_nothing(fresh_machine):
    m = fresh_machine
    before = m.sh("find / -xdev -not -path '/proc/*' -not -path '/sys/*' | sort")
    m.install()
    m.define("stay", "trap '' TERM; sleep 1000 & wait", OnShutdown="continue")
    m.submit("stay")
    m.wait("pgrep -u jobbers-task sleep")
    m.sh("rm -rf /etc/jobbers/tasks.d/stay.task /opt/tasks /root/debs")
    m.sh("apt-get purge -qy $(dpkg-query -W -f '${Package}\\n' '*jobbers*') </dev/null 2>&1", timeout=1800)
    left = sorted(set(m.sh("find / -xdev -not -path '/proc/*' -not -path '/sys/*' | sort").splitlines()) - set(before.splitlines()))
    noise = re.compile(r"^/(tmp|run|var/log|var/cache|var/lib/(dpkg|apt|systemd)|root|etc/.*-|var/lib/dbus)(/|$)")
    assert [p for p in left if not noise.match(p)] == []
    assert [p for p in left if "jobbers" in p and not p.startswith("/var/log/journal")] == []
    assert m.sh("getent passwd jobbers jobbers-task; getent group jobbers; pgrep -u jobbers-task; true") == ""
    assert m.sh("systemctl list-units --all --plain --no-legend 'jobbers*'; systemctl list-unit-files --no-legend 'jobbers*'; true") == ""
