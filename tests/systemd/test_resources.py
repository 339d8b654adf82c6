"""Attempts in their scopes: limits, accounting, exact end reasons, nothing that outlives its task, heartbeats, logs."""
import json

import pytest


def last(record):
    return record["attempts"][-1]


def test_each_attempt_is_a_scope(machine):
    machine.define("where", '[ $(cat /proc/self/oom_score_adj) = 0 ] || exit 9; cat /proc/self/cgroup; echo "{\\"cgroup\\": \\"$(cut -d: -f3 /proc/self/cgroup)\\"}" >$JOBBERS_RESULT')
    record = machine.run("where")
    scope = f"jobbers-task-{record['id']}-1.scope"
    assert record["scope"] == scope
    assert record["results"]["cgroup"] == f"/jobbers.slice/jobbers-default.slice/{scope}/task"
    machine.wait(f"! systemctl list-units --all --no-legend '{scope}' | grep -q .")


def test_over_memory_max_is_oom(machine):
    machine.define("eat", "exec python3 -c 'x = bytearray(300 << 20); print(len(x))'", resources={"MemoryMax": "50M"}, DeadLetterPolicy="save")
    record = machine.run("eat")
    assert record["status"] == "failed" and last(record)["end_reason"] == "oom", record
    assert last(record)["resources"]["oom_kills"] >= 1 and last(record)["resources"]["memory_peak"] > 40 << 20
    assert "memory" in record["last_error"].lower()
    # Killed by the same signal without the OOM killer is something else.
    machine.define("killed", "kill -9 $$")
    record = machine.run("killed")
    assert (last(record)["end_reason"], last(record)["signal"]) == ("signal", "SIGKILL")


def test_oom_can_be_retried(machine):
    machine.define("eatonce", "[ $JOBBERS_ATTEMPT = 2 ] || exec python3 -c 'bytearray(300 << 20)'", resources={"MemoryMax": "50M"}, RetryOn="oom")
    record = machine.run("eatonce")
    assert record["status"] == "completed" and [a["end_reason"] for a in record["attempts"]] == ["oom", "exit"], record


def test_no_memory_for_the_record_at_the_gate_of_a_scope(machine):
    """The supervisor is in its leaf of the scope already when it finds no room for its record: it waits, and starts then."""
    records = "/run/jobbers/records"
    machine.define("patient", "exit 0")
    machine.sh(f"systemctl stop jobbersd jobbers-launcher.service; mount -t tmpfs -o size=64k,$(stat -c mode=%a,uid=%u,gid=%g {records}) tmpfs {records} "
               "&& systemctl start jobbersd")
    try:
        machine.sh(f"head -c 1M /dev/zero >{records}/fill || true")
        task = machine.submit("patient")
        machine.wait(f"journalctl JOBBERS_TASK_ID={task} | grep -q 'short of disk space'")
        machine.sh(f"rm {records}/fill")
        record = machine.final(task)
        assert record["status"] == "completed" and len(record["attempts"]) == 1, record
    finally:
        machine.sh(f"systemctl stop jobbersd jobbers-launcher.service; umount {records}; systemctl start jobbersd")


FILL = 'echo $(dirname $JOBBERS_RESULT) >/var/lib/jobbers-task/filled; exec head -c 150M /dev/zero >$(dirname $JOBBERS_RESULT)/fill'


def used_of_run(machine):
    return int(machine.sh("df --output=used -B1 /run | tail -n 1"))


def test_what_a_task_writes_into_its_directory_is_its_memory(machine):
    """That is in /run, which is systemd's too: limits on memory are limits on this, and it goes with the attempt."""
    machine.define("write", """head -c 20M /dev/zero >$(dirname $JOBBERS_RESULT)/some
        scope=/sys/fs/cgroup$(dirname $(cut -d: -f3 /proc/self/cgroup))
        echo "{\\"shmem\\": $(sed -n 's/^shmem //p' $scope/memory.stat)}" >$JOBBERS_RESULT""")
    machine.define("fill", FILL, resources={"MemoryMax": "50M"})
    machine.define("fillslice", FILL)
    before = used_of_run(machine)
    assert machine.run("write")["results"]["shmem"] >= 20 << 20
    record = machine.run("fill")
    assert record["status"] == "failed" and last(record)["end_reason"] == "oom" and "MemoryMax=" in record["last_error"], record
    directory = machine.sh("cat /var/lib/jobbers-task/filled")
    assert directory.startswith("/run/jobbers/attempts/")
    machine.call("PUT", "/queues/default", {"memory_max": 60 << 20})
    try:
        record = machine.run("fillslice")
        assert record["status"] == "failed" and last(record)["end_reason"] == "oom", record
    finally:
        machine.call("PUT", "/queues/default", {"memory_max": None})
    machine.wait(f"! [ -e {directory} ]")
    machine.wait_for(lambda: used_of_run(machine) < before + (10 << 20))


def test_attempts_on_a_file_system_of_their_own(machine):
    """As docs/OPERATIONS.md says. Whoever fills it is refused the rest, and what was to start meanwhile starts then."""
    machine.define("fill", "head -c 150M /dev/zero >$(dirname $JOBBERS_RESULT)/fill; s=$?; until [ -e /run/go ]; do sleep 1; done; exit $s", MaxRetries=0)
    machine.define("after", "echo '{\"ok\": 1}' >$JOBBERS_RESULT")
    machine.write("/etc/systemd/system/run-jobbers-attempts.mount", "[Mount]\nWhat=tmpfs\nWhere=/run/jobbers/attempts\nType=tmpfs\n"
                  "Options=mode=0711,nosuid,nodev,size=16M\n[Install]\nWantedBy=local-fs.target\n")
    machine.sh("rm -f /run/go; systemctl enable --now run-jobbers-attempts.mount && systemctl restart jobbers-launcher jobbersd")
    before = used_of_run(machine)
    try:
        assert machine.run("after")["results"] == {"ok": 1}
        task = machine.submit("fill")
        machine.wait("[ $(df --output=avail /run/jobbers/attempts | tail -n 1) = 0 ]")
        assert used_of_run(machine) < before + (5 << 20)
        waits = machine.submit("after")
        machine.sh("sleep 5; touch /run/go")
        record = machine.final(task)
        assert record["status"] == "failed" and last(record)["exit_status"] == 1, record
        assert "No space left" in machine.get(f"/task/{task}/logs")
        record = machine.final(waits)
        assert record["status"] == "completed" and record["results"] == {"ok": 1} and len(record["attempts"]) == 1, record
        assert machine.sh("find /run/jobbers/attempts -name fill") == ""
    finally:
        machine.sh("touch /run/go; systemctl stop jobbersd jobbers-launcher.service; systemctl disable --now run-jobbers-attempts.mount; "
                   "rm /etc/systemd/system/run-jobbers-attempts.mount; systemctl daemon-reload; rm -f /run/go; systemctl start jobbersd")


def test_fork_bomb_stops_at_tasks_max(machine):
    machine.define("bomb", "f() { f | f & }; f; sleep 1000", resources={"TasksMax": 40}, TimeoutSec=6, KillGraceSec=1, MaxRetries=0)
    record = machine.final(machine.submit("bomb"), 600)
    assert record["status"] == "failed", record
    assert last(record)["resources"]["pids_peak"] <= 41, record
    assert machine.cgroups() == []


def test_cpu_quota_is_seen_in_the_accounting(machine):
    machine.define("spin", "exec timeout 5 python3 -c 'while True: pass' || true", resources={"CPUQuota": "20%"})
    record = machine.run("spin")
    assert last(record)["resources"]["cpu_usec"] < 2_000_000, record
    machine.define("spinfree", "timeout 5 python3 -c 'while True: pass'; exit 0")
    assert last(machine.run("spinfree"))["resources"]["cpu_usec"] > 2_500_000


def test_what_an_attempt_used_is_in_its_record(machine):
    """CPU, memory, disk and processes of all that ran in its cgroup, from its cgroup: also of what nobody waited for."""
    machine.define("use", """python3 - <<'END'
import os, time
held = bytearray(40 << 20)
for i in range(0, len(held), 4096):
    held[i] = 1
children = [os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "1") for _ in range(5)]
end = time.process_time() + 0.4
while time.process_time() < end:
    pass
END
        dd if=/dev/zero of=$HOME/data bs=1M count=4 oflag=direct 2>/dev/null
        dd if=$HOME/data of=/dev/null bs=1M iflag=direct 2>/dev/null; rm $HOME/data""")
    used = last(machine.run("use"))["resources"]
    assert used["cpu_usec"] >= 400_000 and 40 << 20 <= used["memory_peak"] < 400 << 20, used
    assert used["io_read"] >= 4 << 20 and used["io_write"] >= 4 << 20, used
    assert 6 <= used["pids_peak"] < 20 and used["oom_kills"] == 0, used


def test_an_oom_kill_that_the_task_survives_is_no_oom(machine):
    """Exact: a child was killed for want of memory, the task dealt with it and succeeded."""
    machine.define("survivor", "python3 -c 'bytearray(300 << 20)'; [ $? = 137 ]", resources={"MemoryMax": "50M"})
    record = machine.run("survivor")
    assert record["status"] == "completed" and last(record)["end_reason"] == "exit", record
    assert last(record)["resources"]["oom_kills"] == 1


def test_limits_of_a_subprocess_attempt_hold_too(machine):
    """Without a scope the attempt is in a cgroup of its own in a unit that is delegated for this."""
    machine.define("suboom", "echo oom score $(cat /proc/self/oom_score_adj); cat /proc/self/cgroup; exec python3 -c 'bytearray(300 << 20)'", resources={"MemoryMax": "50M"}, Launcher="subprocess")
    record = machine.run("suboom")
    assert last(record)["end_reason"] == "oom" and last(record)["resources"]["oom_kills"] == 1, record
    log = machine.get(f"/task/{record['id']}/logs")
    assert "/jobbers.slice/jobbers-attempts.service/jobbers/" in log and "oom score 0" in log.splitlines(), log


def test_a_unit_of_the_same_name_is_left_alone(machine):
    """Somebody's scope has the name: it is waited for, and nothing of it is touched or taken over."""
    machine.define("inplace", "exit 0", MaxConcurrent=0)
    task = "01JBKR2E5F3G4H5J6K7P8M9N1Q"
    unit = f"jobbers-task-{task}-1.scope"
    machine.sh(f"setsid systemd-run -q --scope --unit={unit} sleep 87654 </dev/null >/dev/null 2>&1 &")
    machine.wait(f"systemctl is-active {unit} && pgrep -f '[s]leep 87654'")
    assert machine.submit("inplace", id=task) == task
    machine.started(task)
    machine.wait(f"[ -d /run/jobbers/attempts/{task}.1 ]")
    # Asked for more than once by now; its supervisor waits at the gate, outside.
    assert machine.run("inplace")["status"] == "completed"
    assert len(machine.sh(f"cat /sys/fs/cgroup$(systemctl show -p ControlGroup --value {unit})/cgroup.procs").split()) == 1
    assert machine.get(f"/task-status/{task}")["status"] == "started" and machine.pids_of("[s]leep 87654") != []
    machine.sh("pkill -f '[s]leep 87654'")
    record = machine.final(task)
    assert record["status"] == "completed" and len(record["attempts"]) == 1 and record["scope"] == unit, record


def test_limits_of_a_queue_change_live(machine):
    status, answer = machine.call("PUT", "/queues/narrow-er", {"max_concurrent": 5, "memory_max": 100 << 20})
    assert status in (200, 201), answer
    machine.call("PUT", "/roles/default", ["default", "reports", "narrow-er"] if "reports" in machine.get("/queues")["queues"] else ["default", "narrow-er"])
    machine.define("hold", "sleep 1000")
    task = machine.submit("hold", queue="narrow-er")
    machine.started(task)
    cgroup = "/sys/fs/cgroup/jobbers.slice/jobbers-narrow\\\\x2der.slice/memory.max"
    machine.wait(f"[ $(cat {cgroup}) = {100 << 20} ]")
    machine.call("PUT", "/queues/narrow-er", {"max_concurrent": 5, "memory_max": 200 << 20})
    machine.wait(f"[ $(cat {cgroup}) = {200 << 20} ]")
    machine.call("POST", f"/task/{task}/cancel")
    assert machine.final(task)["status"] == "cancelled"


DAEMONIZE = """python3 - <<'END'
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.execvp("sleep", ["sleep", "98765"])
    os._exit(0)
os.wait()
time.sleep(0.3)
END
"""


def test_nothing_outlives_its_task(machine):
    machine.define("escape", DAEMONIZE, KillGraceSec=1)
    record = machine.run("escape")
    assert record["status"] == "completed"
    assert machine.pids_of("[s]leep 98765") == []


def test_cancel_kills_all_of_it(machine):
    machine.define("escapehold", DAEMONIZE + "sleep 98765", KillGraceSec=1)
    task = machine.submit("escapehold")
    machine.wait("[ $(pgrep -fc '[s]leep 98765') -ge 2 ]")
    assert machine.call("POST", f"/task/{task}/cancel")[0] == 200
    record = machine.final(task)
    assert record["status"] == "cancelled" and last(record)["end_reason"] == "cancelled"
    assert machine.pids_of("[s]leep 98765") == []


def test_heartbeats_from_a_shell(machine):
    machine.define("beat", """
        for i in 1 2 3 4 5 6; do systemd-notify WATCHDOG=1 "STATUS=step $i" X_JOBBERS_PROGRESS=$((i * 10)); sleep 1; done
        [ "$WATCHDOG_USEC" = 15000000 ]""", MaxHeartbeatIntervalSec=15)
    record = machine.run("beat")
    assert record["status"] == "completed", record
    assert record["status_text"] == "step 6" and record["progress"] == 60 and record["heartbeat_at"] > record["started_at"]
    machine.define("silent", "sleep 1000", MaxHeartbeatIntervalSec=2)
    record = machine.run("silent")
    assert record["status"] == "stalled" and last(record)["end_reason"] == "stalled"


def test_more_time_can_be_asked_for(machine):
    machine.define("longer", "systemd-notify EXTEND_TIMEOUT_USEC=60000000; sleep 9", TimeoutSec=7, MaxRetries=0)
    assert machine.run("longer")["status"] == "completed"
    machine.define("toolong", "sleep 1000", TimeoutSec=2, MaxRetries=0)
    record = machine.run("toolong")
    assert record["status"] == "failed" and last(record)["end_reason"] == "timeout" and record["last_error"] == "timed out after 2s", record


def test_forged_notifications_are_refused(machine):
    """Another task of the same user knows the address, and is not heard."""
    machine.define("victim", "until [ -e ~/forged ]; do sleep 0.2; done; rm ~/forged", MaxHeartbeatIntervalSec=600, TimeoutSec=600)
    victim = machine.submit("victim")
    machine.started(victim)
    machine.define("forger", """NOTIFY_SOCKET=$(find /run/jobbers -path '*VICTIM*' -name notify 2>/dev/null | head -n 1)
        [ -n "$NOTIFY_SOCKET" ] || NOTIFY_SOCKET=/run/jobbers/attempts/VICTIM.1/notify
        export NOTIFY_SOCKET
        python3 - <<'END'
import os, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.sendto(b"STATUS=forged\\nX_JOBBERS_PROGRESS=99", os.environ["NOTIFY_SOCKET"])
END
        touch ~/forged""".replace("VICTIM", victim))
    forged = machine.run("forger")
    assert forged["status"] == "completed", forged     # it could send; it is the receiver that does not listen
    record = machine.final(victim)
    assert record["status"] == "completed" and record["status_text"] is None and record["progress"] is None, record


def test_output_is_in_the_journal(machine):
    machine.define("talk", "echo to stdout; echo to stderr >&2; printf 'no newline'")
    record = machine.run("talk")
    lines = [json.loads(line) for line in machine.sh(f"journalctl -q -b -o json _SYSTEMD_UNIT={record['scope']}").splitlines()]
    assert [line["MESSAGE"] for line in lines if line["SYSLOG_IDENTIFIER"] == "talk"] == ["to stdout", "to stderr", "no newline"]
    about = [json.loads(line) for line in machine.sh(f"journalctl -q -b -o json JOBBERS_TASK_ID={record['id']}").splitlines()]
    assert about and all("MESSAGE_ID" in line for line in about)
    assert {line["JOBBERS_TASK_NAME"] for line in about} == {"talk"} and {line["JOBBERS_QUEUE"] for line in about} == {"default"}
    catalog = machine.sh(f"journalctl -q -b -x JOBBERS_TASK_ID={record['id']}")
    for subject in ("waits for its turn", "has been started", "is completed"):
        assert f"Subject: Task {record['id']} {subject}" in catalog, catalog
    assert machine.sh("journalctl --list-catalog | grep -c jobbers:") == machine.sh("grep -c '^-- ' /usr/lib/systemd/catalog/jobbers.catalog")
    log = machine.get(f"/task/{record['id']}/logs")
    assert "to stdout" in log and "to stderr" in log and "no newline" in log


def test_every_line_is_its_own_attempts(machine):
    """Many in a row, by few supervisors that go from scope to scope: no line counts as one of the attempt before, nor as the supervisor's. What speaks
    when the main process has gone is of its scope as well."""
    machine.define("ownline", """
        if [ $(( $RANDOM % 4 )) = 0 ]; then (trap '' TERM; while kill -0 $$; do sleep 0.02; done; echo after $JOBBERS_TASK_ID) 2>/dev/null & fi
        echo "{\\"pid\\": $$, \\"parent\\": $PPID}" >$JOBBERS_RESULT
        echo mine $JOBBERS_TASK_ID""", MaxConcurrent=0)
    records = [machine.final(task) for task in machine.submit_many("ownline", 80)]
    lines = [json.loads(line) for line in machine.sh("journalctl -q -b -o json SYSLOG_IDENTIFIER=ownline").splitlines()]
    assert [r["status"] for r in records] == ["completed"] * 80
    assert {(line["MESSAGE"].split()[-1], line["_SYSTEMD_UNIT"]) for line in lines} == {(r["id"], r["scope"]) for r in records}
    by_main = [line for line in lines if line["MESSAGE"].startswith("mine")]
    assert {(line["_SYSTEMD_UNIT"], line["_PID"]) for line in by_main} == {(r["scope"], str(r["results"]["pid"])) for r in records}
    assert len(lines) > len(by_main) and {line["_UID"] for line in by_main} == {machine.sh("id -u jobbers-task").strip()}
    assert len({r["results"]["parent"] for r in records}) < 80


def test_logs_are_complete_when_a_task_is_final(machine):
    """Also those of processes that are gone when journald looks at who they were, and a last line that has no end."""
    machine.define("brief", "for i in $(seq 60); do /bin/echo line $i; done; /bin/echo -n the end")
    record = machine.run("brief")
    wanted = [f"line {i}" for i in range(1, 61)] + ["the end"]
    assert [line for line in machine.get(f"/task/{record['id']}/logs").splitlines() if line in wanted] == wanted
    by_unit = machine.sh(f"journalctl -q -b -o cat SYSLOG_IDENTIFIER=brief _SYSTEMD_UNIT={record['scope']}")
    assert by_unit.splitlines() == wanted
    # With a journald that does not come to it: the task waits for its log, as long as it can.
    machine.define("late", "echo late; echo -n later")
    try:
        machine.sh("systemctl kill -s STOP --kill-who=main systemd-journald")
        late = machine.submit("late")
        machine.wait(f"[ -e /run/jobbers/records/{late}.1.started ] && ! pgrep -r R,S,D,T -u jobbers-task")
        # It has ended by itself, whatever becomes of its scope now.
        machine.sh(f"systemctl --no-block stop jobbers-task-{late}-1.scope")
    finally:
        machine.sh("systemctl kill -s CONT --kill-who=main systemd-journald")
    assert machine.final(late)["status"] == "completed"
    assert machine.sh("journalctl -q -b -o cat SYSLOG_IDENTIFIER=late").splitlines() == ["late", "later"]


def test_logs_can_be_followed(machine):
    machine.define("chat", "for i in 1 2 3 4 5; do echo line $i; sleep 0.5; done")
    task = machine.submit("chat")
    status, log = machine.call("GET", f"/task/{task}/logs?follow=true")
    assert status == 200 and [f"line {i}" in log for i in range(1, 6)] == [True] * 5
    assert machine.get(f"/task-status/{task}")["status"] == "completed"


@pytest.mark.full
def test_a_thousand_leave_nothing(machine):
    machine.write("/etc/jobbers/tasks.d/true.task", "[Task]\nName=true\nVersion=1\nExecStart=/bin/true\nMaxConcurrent=0\n")
    machine.call("PUT", "/queues/default", {"name": "default", "max_concurrent": 0})
    machine.sh("systemctl reload jobbersd")
    ids = machine.submit_many("true", 1000)
    for task in ids:
        assert machine.final(task, 600)["status"] == "completed"
    machine.nothing_is_left()
