"""Somebody sets the clock, by an hour or to 1970, while tasks wait and run: nothing is lost, no delay or timeout gets shorter, none lasts for ever."""
import time

import pytest

HERE = "/var/lib/jobbers-task"
UPTIME = "$(cut -d' ' -f1 /proc/uptime)"
STEPS = {"forward": "+1 hour", "back": "-1 hour", "1970": "1970-01-01 00:10:00"}


@pytest.fixture
def clock(machine):
    """The machine without anything that sets its clock, which is right again afterwards."""
    m = machine
    m.sh("systemctl stop systemd-timesyncd chrony ntp 2>/dev/null; true")
    before, uptime = m.sh("date +%s; cut -d. -f1 /proc/uptime").split()
    m.sh(f"rm -f {HERE}/clock-*")
    yield m
    now = int(m.sh("cut -d. -f1 /proc/uptime"))
    m.sh(f"date -s @{int(before) + now - int(uptime)}")


@pytest.mark.full
@pytest.mark.parametrize("step", STEPS)
def test_a_step_moves_no_delay(clock, step):
    m = clock
    m.define("delayed", f'echo {UPTIME} >>{HERE}/clock-$JOBBERS_TASK_ID; [ $JOBBERS_ATTEMPT -ge 2 ] || exit 75',
             RetryDelaySec="25s", BackoffStrategy="constant", MaxConcurrent=0)
    m.define("limited", f'echo {UPTIME} >{HERE}/clock-$JOBBERS_TASK_ID; sleep 600', TimeoutSec="25s", MaxRetries=0, MaxConcurrent=0)
    m.define("quick", "exit 0", MaxConcurrent=0)
    delayed, limited = m.submit("delayed"), m.submit("limited")
    m.wait_for(lambda: m.get(f"/task-status/{delayed}")["status"] == "scheduled")
    m.started(limited)
    m.sh(f"date -s '{STEPS[step]}'")
    m.sh(f"date -s '{STEPS[step]}'" if step == "1970" else "true")        # a second one while the first is being looked at
    assert m.run("quick")["status"] == "completed"
    record = m.final(delayed)
    first, second = map(float, m.sh(f"cat {HERE}/clock-{delayed}").split())
    assert record["status"] == "completed" and len(record["attempts"]) == 2
    assert 24.5 <= second - first <= 60, (first, second)
    record = m.final(limited)
    assert record["attempts"][0]["end_reason"] == "timeout", record
    ended = float(m.sh("cut -d' ' -f1 /proc/uptime"))
    assert ended - float(m.sh(f"cat {HERE}/clock-{limited}")) <= 90
    times = [record[k] for k in ("submitted_at", "started_at", "completed_at")]
    assert times == sorted(times)


@pytest.mark.full
@pytest.mark.parametrize("step", ["forward", "back"])
def test_a_step_while_no_daemon_runs(clock, step):
    m = clock
    m.define("delayed", f'echo {UPTIME} >>{HERE}/clock-$JOBBERS_TASK_ID; [ $JOBBERS_ATTEMPT -ge 2 ] || exit 75',
             RetryDelaySec="40s", BackoffStrategy="constant", MaxConcurrent=0)
    task = m.submit("delayed")
    m.wait_for(lambda: m.get(f"/task-status/{task}")["status"] == "scheduled")
    m.sh("systemctl stop jobbersd.socket jobbersd.service")
    m.sh(f"date -s '{STEPS[step]}'")
    m.sh("systemctl start jobbersd.socket jobbersd.service")
    assert m.final(task, 120)["status"] == "completed"
    first, second = map(float, m.sh(f"cat {HERE}/clock-{task}").split())
    assert 39.5 <= second - first <= 80, (first, second)


@pytest.mark.full
def test_run_at_is_wall_time(clock):
    m = clock
    m.define("quick", "exit 0", MaxConcurrent=0)
    status, answer = m.call("POST", "/schedule-task", {"task": {"name": "quick", "version": 1}, "run_at": m.sh("date -u -d '+50 minutes' +%FT%TZ")})
    assert status == 200, answer
    task = answer["task"]["id"]
    time.sleep(1)
    assert m.get(f"/task-status/{task}")["status"] == "scheduled"
    m.sh("date -s '+1 hour'")
    assert m.final(task, 30)["status"] == "completed"
