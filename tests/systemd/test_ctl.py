"""jobbersctl where it is at home: beside systemd and a journal, for root, for the group, and for who is not in it."""
import json
import re


def test_run_shows_the_output_and_ends_as_the_task(machine):
    machine.define("say", "echo first; sleep 0.1; echo second >&2; echo '{\"n\": 1}' >\"$JOBBERS_RESULT\"")
    machine.define("three", "echo third; exit 3", MaxRetries=0)
    assert machine.sh("jobbersctl run say").splitlines() == ["first", "second", '{"n":1}']
    status, said = machine.sh("jobbersctl run three 2>&1", check=False)
    assert status == 3 and said.splitlines()[0] == "third" and "exit status 3" in said


def test_status_has_unit_resources_and_log(machine):
    machine.define("work", "head -c 20000000 /dev/zero | sha256sum; sleep 0.2")
    task = machine.sh("jobbersctl submit work")
    assert machine.sh(f"jobbersctl wait {task}") == f"{task} completed"
    said = machine.sh(f"jobbersctl status {task}")
    assert f"Unit: jobbers-task-{task}-1.scope" in said and "completed since" in said
    [attempt] = re.findall(r"^ +1 .* exit status 0$", said, re.M)
    assert re.search(r" \d+(\.\d+)?m?s +[0-9.]+[KM] ", attempt), "CPU and memory are known here: " + attempt
    assert re.search(r"^[0-9a-f]{64}  -$", said, re.M), "the last lines of its log"


def test_who_may(machine):
    machine.define("mine", "id -un")
    status, said = machine.sh("runuser -u alice -- jobbersctl list 2>&1", check=False)
    assert status == 1 and said == ('jobbersctl: no right to use /run/jobbers/jobbers.sock: join the group "jobbers" '
                                    "(adduser USER jobbers, then log in again), or become root.")
    machine.sh("usermod -a -G jobbers alice")
    try:
        assert machine.sh("runuser -u alice -- jobbersctl run mine") == "jobbers-task"
    finally:
        machine.sh("gpasswd -d alice jobbers")


def test_over_tcp_with_the_token(machine):
    assert json.loads(machine.sh("jobbersctl --host=localhost --json=short status"))["mode"] == "system"
    status, said = machine.sh("runuser -u alice -- jobbersctl --host=localhost list 2>&1", check=False)
    assert status == 1 and "/etc/jobbers/token: Permission denied" in said


def test_daemon_is_down(machine):
    machine.sh("systemctl stop jobbersd.socket jobbersd.service")
    try:
        status, said = machine.sh("jobbersctl list 2>&1", check=False)
        assert status == 1 and said.endswith("Start it: systemctl start jobbersd")
        machine.sh("systemctl start jobbersd")          # what it said to do
        machine.sh("jobbersctl list")
    finally:
        machine.sh("systemctl start jobbersd.socket jobbersd.service")
