"""Every arrow of a task's life (SPEC 2), against a real daemon."""
import os
import signal
import time

import pytest
from conftest import standard_tasks
from harness import FINAL, alive, until, when


# ── ends ──

@pytest.mark.modes('system', 'user')
def test_success(daemon):
    daemon.define('hello', 'printf \'{"n": 3, "s": "\\303\\244"}\' >"$JOBBERS_RESULT"')
    daemon.reload()
    before = time.time()
    t = daemon.run('hello', parameters={'who': 'world'})
    assert t['status'] == 'completed'
    assert t['results'] == {'n': 3, 's': 'ä'}
    assert t['parameters'] == {'who': 'world'}
    assert t['retry_attempt'] == 0 and t['last_error'] is None and t['retried_at'] is None
    assert before - 0.001 <= when(t['submitted_at']) <= when(t['started_at']) <= when(t['completed_at']) <= time.time() + 0.001
    [a] = t['attempts']
    assert (a['attempt'], a['retry_attempt'], a['end_reason'], a['exit_status'], a['signal'], a['error'], a['outcome']) == \
        (1, 0, 'exit', 0, None, None, 'completed')
    assert when(t['started_at']) <= when(a['ended_at']) <= when(t['completed_at'])
    assert a['resources']['cpu_usec'] > 0


def test_unexpected_failure(daemon):
    t = daemon.run('fail')
    assert t['status'] == 'failed' and t['retry_attempt'] == 0
    assert '1' in t['last_error']
    [a] = t['attempts']
    assert (a['end_reason'], a['exit_status'], a['outcome']) == ('exit', 1, 'failed')
    assert daemon.get('/dead-letter-queue')['tasks'] == []


def test_dead_letter(daemon):
    daemon.define('buried', 'exit 1', DeadLetterPolicy='save')
    daemon.reload()
    t = daemon.run('buried')
    assert t['status'] == 'failed'
    assert [x['id'] for x in daemon.get('/dead-letter-queue')['tasks']] == [t['id']]
    [h] = daemon.get(f'/dead-letter-queue/{t["id"]}/history')['history']
    assert h['attempt'] == 1 and h['retry_attempt'] == 0 and h['error'] and h['timestamp']


def test_retries_until_it_works(daemon):
    daemon.define('third', '[ $JOBBERS_ATTEMPT -ge 3 ] || exit 75\necho "{\\"retry\\": $JOBBERS_RETRY_ATTEMPT}" >$JOBBERS_RESULT')
    daemon.reload()
    t = daemon.run('third')
    assert t['status'] == 'completed' and t['retry_attempt'] == 2 and t['results'] == {'retry': 2}
    assert [a['exit_status'] for a in t['attempts']] == [75, 75, 0]
    assert [a['retry_attempt'] for a in t['attempts']] == [0, 1, 2]
    assert [a['outcome'] for a in t['attempts']] == ['submitted', 'submitted', 'completed']
    assert when(t['started_at']) < when(t['retried_at']) <= when(t['attempts'][2]['ended_at'])
    for one, next_one in zip(t['attempts'], t['attempts'][1:]):
        assert when(one['ended_at']) <= when(next_one['started_at'])


def test_retries_used_up(daemon):
    daemon.define('never', 'exit 75', MaxRetries=2, DeadLetterPolicy='save')
    daemon.reload()
    t = daemon.run('never')
    assert t['status'] == 'failed' and t['retry_attempt'] == 2
    assert [a['outcome'] for a in t['attempts']] == ['submitted', 'submitted', 'failed']
    history = daemon.get(f'/dead-letter-queue/{t["id"]}/history')['history']
    assert sorted(h['attempt'] for h in history) == [1, 2, 3]


@pytest.mark.parametrize('keys, low, high', [
    ({'BackoffStrategy': 'constant', 'RetryDelaySec': '10min'}, 600, 600),
    ({'BackoffStrategy': 'linear', 'RetryDelaySec': '10min'}, 600, 600),
    ({'RetryDelaySec': '10min'}, 1200, 1200),
    ({'RetryDelaySec': '40min'}, 3600, 3600),
    ({'RetryDelaySec': '10min', 'MaxRetryDelaySec': '15min'}, 900, 900),
    ({'BackoffStrategy': 'exponential_jitter', 'RetryDelaySec': '10min'}, 0, 1200),
])
def test_delay_before_the_first_retry(daemon, keys, low, high):
    daemon.define('later', 'exit 75', **keys)
    daemon.reload()
    task_id = daemon.submit('later')
    t = daemon.wait_status(task_id, 'scheduled')
    assert t['retry_attempt'] == 1
    [a] = t['attempts']
    delay = when(t['scheduled_at']) - when(a['ended_at'])
    assert low <= delay <= high + 1
    assert [x['id'] for x in daemon.get('/scheduled-tasks')['tasks']] == [task_id]
    daemon.cancel(task_id)


@pytest.mark.parametrize('strategy, delays', [
    ('constant', [0.1, 0.1, 0.1]),
    ('linear', [0.1, 0.2, 0.3]),
    ('exponential', [0.2, 0.4, 0.5]),       # the third is capped
])
def test_backoff_as_it_happens(daemon, strategy, delays):
    daemon.define('again', 'exit 75', MaxRetries=3, RetryDelaySec='100ms', MaxRetryDelaySec='500ms', BackoffStrategy=strategy)
    daemon.reload()
    t = daemon.run('again')
    assert t['status'] == 'failed' and t['retry_attempt'] == 3
    a = t['attempts']
    gaps = [when(a[i + 1]['started_at']) - when(a[i]['ended_at']) for i in range(3)]
    for gap, delay in zip(gaps, delays):
        assert delay <= gap < delay + 0.35, gaps


def test_timeout(daemon):
    daemon.define('slow', 'exec sleep 60', TimeoutSec='150ms', MaxRetries=1)
    daemon.reload()
    t = daemon.run('slow')
    assert t['status'] == 'failed' and t['retry_attempt'] == 1      # an expected failure
    assert [a['end_reason'] for a in t['attempts']] == ['timeout', 'timeout']
    for a in t['attempts']:
        assert 0.15 <= when(a['ended_at']) - when(a['started_at']) < 3
    assert 'time' in t['last_error']


def test_stall(daemon):
    daemon.define('silent', 'exec sleep 60', MaxHeartbeatIntervalSec='200ms')
    daemon.reload()
    t = daemon.run('silent')
    assert t['status'] == 'stalled' and t['retry_attempt'] == 0
    [a] = t['attempts']
    assert a['end_reason'] == 'stalled' and t['last_error']
    assert 0.2 <= when(a['ended_at']) - when(a['started_at']) < 3


def test_killed_by_a_signal(daemon):
    daemon.define('suicide', 'kill -KILL $$')
    daemon.define('hangup', 'kill -HUP $$', RetryOn='SIGHUP', MaxRetries=1)
    daemon.reload()
    t = daemon.run('suicide')
    [a] = t['attempts']
    assert t['status'] == 'failed' and (a['end_reason'], a['exit_status'], a['signal']) == ('signal', None, 'SIGKILL')
    assert 'SIGKILL' in t['last_error']
    t = daemon.run('hangup')
    assert t['status'] == 'failed' and [a['signal'] for a in t['attempts']] == ['SIGHUP', 'SIGHUP']


def test_missing_executable(daemon):
    daemon.define('gone', '#!/nonexistent/interpreter\n')
    daemon.reload()
    t = daemon.run('gone')
    assert t['status'] == 'failed' and t['last_error']


# ── time ──

def test_scheduled_for_later(daemon):
    run_at = time.time() + 0.4
    stamp = time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(run_at)) + '.%06dZ' % int(run_at % 1 * 1e6)
    answer = daemon.post('/schedule-task', {'task': {'name': 'ok', 'version': 1}, 'run_at': stamp})
    assert answer['task']['status'] == 'scheduled'
    task_id = answer['task']['id']
    t = daemon.status(task_id)
    assert t['status'] == 'scheduled' and abs(when(t['scheduled_at']) - run_at) < 0.001
    t = daemon.wait_final(task_id)
    assert t['status'] == 'completed'
    assert run_at <= when(t['started_at']) < run_at + 1.5


@pytest.mark.parametrize('time', ['2001-01-01T00:00:00Z', '1970-01-01T00:00:00Z', '1912-06-23T00:00:00Z'])
def test_scheduled_in_the_past_runs_now(daemon, time):
    answer = daemon.post('/schedule-task', {'task': {'name': 'ok', 'version': 1}, 'run_at': time})
    assert answer['run_at'][:19] + 'Z' == max(time, '1970-01-01T00:00:00Z')
    assert daemon.wait_final(answer['task']['id'])['status'] == 'completed'


# ── cancel ──

def test_cancel_submitted(daemon):
    daemon.post('/queues/default/pause')
    task_id = daemon.submit('ok')
    daemon.cancel(task_id)
    t = daemon.status(task_id)
    assert t['status'] == 'cancelled' and t['started_at'] is None and t['completed_at'] and t['attempts'] == []
    daemon.cancel(task_id, status=409)
    daemon.post('/queues/default/resume')
    assert daemon.run('ok')['status'] == 'completed'
    assert daemon.status(task_id)['status'] == 'cancelled'


def test_cancel_scheduled(daemon):
    answer = daemon.post('/schedule-task', {'task': {'name': 'ok', 'version': 1}, 'run_at': '2099-01-01T00:00:00Z'})
    daemon.cancel(answer['task']['id'])
    assert daemon.status(answer['task']['id'])['status'] == 'cancelled'
    assert daemon.get('/scheduled-tasks')['tasks'] == []


@pytest.mark.modes('system', 'user')
def test_cancel_started(daemon):
    task_id = daemon.submit('hold')
    daemon.box.words()
    daemon.cancel(task_id)
    t = daemon.wait_final(task_id)
    [a] = t['attempts']
    assert t['status'] == 'cancelled' and (a['end_reason'], a['signal'], a['outcome']) == ('cancelled', 'SIGTERM', 'cancelled')
    daemon.cancel(task_id, status=409)


def test_cancel_wins_over_success(daemon):
    """It cleans up on SIGTERM and ends with 0 and a result; cancelled all the same. Asked again meanwhile: 200."""
    daemon.define('polite', '''trap 'echo term >@BOX@; read -r x <@GATE@; echo "{}" >$JOBBERS_RESULT; exit 0' TERM
echo start >@BOX@
while :; do sleep 0.05; done''', KillMode='mixed', KillGraceSec='20s')
    daemon.reload()
    task_id = daemon.submit('polite')
    assert daemon.box.line() == 'start'
    daemon.cancel(task_id)
    assert daemon.box.line() == 'term'
    assert daemon.status(task_id)['status'] == 'started'
    daemon.cancel(task_id)
    daemon.gate.open()
    t = daemon.wait_final(task_id)
    assert t['status'] == 'cancelled' and t['attempts'][0]['exit_status'] == 0 and t['attempts'][0]['end_reason'] == 'cancelled'


def test_kill_after_the_grace(daemon):
    daemon.define('deaf', "trap '' TERM\necho start $$ >@BOX@\nwhile :; do sleep 0.05; done", KillGraceSec='250ms')
    daemon.reload()
    task_id = daemon.submit('deaf')
    daemon.box.line()
    pid = daemon.main_pid(task_id)
    before = time.monotonic()
    daemon.cancel(task_id)
    t = daemon.wait_final(task_id)
    assert 0.25 <= time.monotonic() - before < 5
    assert t['status'] == 'cancelled' and t['attempts'][0]['signal'] == 'SIGKILL'
    assert not alive(pid)


def test_kill_signal(daemon):
    daemon.define('usr', "trap 'exit 7' USR1\necho start >@BOX@\nwhile :; do sleep 0.05; done", KillSignal='SIGUSR1')
    daemon.reload()
    task_id = daemon.submit('usr')
    daemon.box.line()
    daemon.cancel(task_id)
    assert daemon.wait_final(task_id)['attempts'][0]['exit_status'] == 7


@pytest.mark.modes('system', 'user')
def test_nothing_outlives_a_cancelled_task(daemon):
    """Grandchildren in sessions of their own, deaf to SIGTERM."""
    daemon.define('family', '''for i in 1 2 3; do
  setsid sh -c 'trap "" TERM; (setsid sh -c "trap \\"\\" TERM; echo child >@BOX@; while :; do sleep 0.05; done" &) ; while :; do sleep 0.05; done' &
done
wait''', KillGraceSec='200ms')
    daemon.reload()
    task_id = daemon.submit('family')
    for _ in range(3):
        assert daemon.box.line() == 'child'
    assert len(daemon.task_processes()) > 6
    daemon.cancel(task_id)
    assert daemon.wait_final(task_id)['status'] == 'cancelled'
    assert daemon.task_processes() == []


def test_leftovers_of_a_normal_end(daemon):
    """The main process is done, what it left gets the kill sequence, and only then the task is final."""
    daemon.define('leaver', '''setsid sh -c 'trap "" TERM; echo $$ >@BOX@; read -r x <@GATE@; while :; do sleep 0.05; done' &
read -r x <@GATE@
echo '{"done": true}' >$JOBBERS_RESULT''', KillGraceSec='250ms')
    daemon.reload()
    task_id = daemon.submit('leaver')
    pid = int(daemon.box.line()) if daemon.mode == 'system' else None
    daemon.gate.open(2)
    t = daemon.wait_final(task_id)
    assert t['status'] == 'completed' and t['results'] == {'done': True}
    assert pid is None or not alive(pid)


# ── dropped ──

def drop(daemon):
    """A task whose definition is gone when its turn comes."""
    daemon.define('shortlived', 'exit 0')
    daemon.reload()
    daemon.post('/queues/default/pause')
    task_id = daemon.submit('shortlived')
    os.unlink(daemon.path('tasks.d', 'shortlived.task'))
    daemon.reload()
    daemon.post('/queues/default/resume')
    return daemon.wait_final(task_id)


def test_dropped(daemon):
    t = drop(daemon)
    assert t['status'] == 'dropped' and t['started_at'] is None and t['attempts'] == []
    assert 'shortlived' in t['last_error'] and t['errors'] == [t['last_error']]
    assert daemon.ask('GET', f'/task/{t["id"]}/logs').text == f'-- {t["completed_at"]} dropped: {t["last_error"]}\n'
    assert daemon.ask('GET', f'/task/{t["id"]}/logs?lifecycle=false').text == ''


# ── shutdown policies ──

def test_shutdown_stop(daemon):
    task_id = daemon.submit('hold')
    daemon.box.line()
    daemon.restart()
    t = daemon.status(task_id)
    assert t['status'] == 'stalled' and t['attempts'][0]['end_reason'] == 'shutdown' and t['last_error']
    assert t['retry_attempt'] == 0


def test_shutdown_resubmit(daemon):
    daemon.define('back', 'echo start $JOBBERS_ATTEMPT $JOBBERS_RETRY_ATTEMPT >@BOX@\nread -r x <@GATE@\nexit 0', OnShutdown='resubmit')
    daemon.reload()
    task_id = daemon.submit('back')
    assert daemon.box.line() == 'start 1 0'
    daemon.restart()
    assert daemon.box.line() == 'start 2 0'         # costs no retry
    daemon.gate.open()
    t = daemon.wait_final(task_id)
    assert t['status'] == 'completed' and t['retry_attempt'] == 0
    assert [a['end_reason'] for a in t['attempts']] == ['shutdown', 'exit']
    assert [a['outcome'] for a in t['attempts']] == ['submitted', 'completed']


def test_shutdown_continue_is_waited_for(daemon):
    """As a subprocess it is given its time; the one that stops does not have to wait for it."""
    daemon.define('steady', 'echo start >@BOX@\nread -r x <@GATE@\necho "{\\"n\\": 1}" >$JOBBERS_RESULT', OnShutdown='continue')
    daemon.reload()
    steady, quick = daemon.submit('steady'), daemon.submit('hold')
    daemon.box.line()
    daemon.box.line()
    daemon.terminate()
    until(lambda: len(daemon.task_processes()) == 1, 'the one that stops has ended')
    assert daemon.process.poll() is None
    daemon.gate.open()
    assert daemon.reap() == 0
    daemon.start()
    t = daemon.status(steady)
    assert t['status'] == 'completed' and t['results'] == {'n': 1} and len(t['attempts']) == 1
    assert daemon.status(quick)['status'] == 'stalled'


def test_shutdown_continue_has_an_end(make_daemon):
    d = make_daemon(shutdown_timeout='300ms')
    d.define('endless', 'echo start >@BOX@\nread -r x <@GATE@', OnShutdown='continue')
    d.start()
    task_id = d.submit('endless')
    d.box.line()
    before = time.monotonic()
    d.stop()
    assert 0.3 <= time.monotonic() - before < 5
    d.start()
    t = d.status(task_id)
    assert t['status'] == 'stalled' and t['attempts'][0]['end_reason'] == 'shutdown'


def test_cancel_then_shutdown_is_cancelled(daemon):
    daemon.define('deaf', "trap '' TERM\necho start >@BOX@\nwhile :; do sleep 0.05; done", KillGraceSec='400ms', OnShutdown='resubmit')
    daemon.reload()
    task_id = daemon.submit('deaf')
    daemon.box.line()
    daemon.cancel(task_id)
    daemon.restart()
    assert daemon.status(task_id)['status'] == 'cancelled'


def test_submitted_and_scheduled_survive_a_restart(daemon):
    daemon.post('/queues/default/pause')
    waiting = daemon.submit('ok')
    later = daemon.post('/schedule-task', {'task': {'name': 'ok', 'version': 1}, 'run_at': '2099-01-01T00:00:00Z'})['task']['id']
    before = daemon.status(later)
    daemon.restart()
    assert daemon.status(waiting)['status'] == 'submitted'
    assert daemon.status(later) == before
    daemon.post('/queues/default/resume')
    assert daemon.wait_final(waiting)['status'] == 'completed'


# ── resubmit ──

def make_completed(d):
    return d.run('ok')


def make_failed(d):
    return d.run('fail')


def make_cancelled(d):
    d.post('/queues/default/pause')
    task_id = d.submit('ok')
    d.cancel(task_id)
    d.post('/queues/default/resume')
    return d.status(task_id)


def make_stalled(d):
    d.define('quiet', '[ $JOBBERS_ATTEMPT -gt 1 ] || exec sleep 60', MaxHeartbeatIntervalSec='100ms')
    d.reload()
    return d.run('quiet')


def make_dropped(d):
    t = drop(d)
    d.define('shortlived', 'exit 0')
    d.reload()
    return t


def test_no_child_holds_the_listeners(daemon):
    daemon.define('netstat', 'cat >/dev/null; echo start $JOBBERS_TASK_ID >@BOX@; read -r x <@GATE@')
    daemon.reload()
    daemon.submit('netstat')
    daemon.box.line()
    port = ':%04X' % daemon.port
    listeners = {f'socket:[{line.split()[9]}]' for line in open('/proc/net/tcp') if line.split()[1].endswith(port) and line.split()[3] == '0A'}
    listeners |= {f'socket:[{line.split()[6]}]' for line in open('/proc/net/unix') if line.rstrip().endswith(' ' + daemon.path('s'))
                  and line.split()[3] == '00010000'}
    assert len(listeners) == 2

    def held_by(pid):
        return {os.readlink(f'/proc/{pid}/fd/{fd}') for fd in os.listdir(f'/proc/{pid}/fd')} & listeners

    assert held_by(daemon.process.pid) == listeners
    assert len(daemon.processes()) >= 3         # launcher, supervisor, task
    for pid in daemon.processes():
        assert held_by(pid) == set(), open(f'/proc/{pid}/cmdline').read()


@pytest.mark.parametrize('state, again', [('completed', 'completed'), ('failed', 'failed'), ('cancelled', 'completed'), ('stalled', 'completed'),
                                          ('dropped', 'completed')])
def test_resubmit(daemon, state, again):
    t = globals()['make_' + state](daemon)
    assert t['status'] == state
    answer = daemon.post(f'/task/{t["id"]}/resubmit')
    assert answer['task']['id'] == t['id']
    n = len(t['attempts']) + 1
    r = until(lambda: (lambda x: x if len(x['attempts']) == n and x['status'] in FINAL else None)(daemon.status(t['id'])), 'it ran again')
    assert r['status'] == again
    assert [a['attempt'] for a in r['attempts']] == list(range(1, n + 1))       # the history stays


def test_resubmit_of_what_is_not_final(daemon):
    task_id = daemon.submit('hold')
    daemon.box.line()
    daemon.post(f'/task/{task_id}/resubmit', status=409)
    daemon.gate.open()
    assert daemon.wait_final(task_id)['status'] == 'completed'
    daemon.post('/task/01ARZ3NDEKTSV4RRFFQ69G5FAV/resubmit', status=404)


def test_resubmit_from_the_dead_letter_queue(daemon):
    daemon.define('dying', '[ $JOBBERS_ATTEMPT -ge 3 ] || exit 75', MaxRetries=1, DeadLetterPolicy='save')
    daemon.reload()
    t = daemon.run('dying')
    assert t['status'] == 'failed' and t['retry_attempt'] == 1
    answer = daemon.post('/dead-letter-queue/resubmit', {'task_ids': [t['id']], 'reset_retry_count': True})
    assert answer['resubmitted'] == 1
    r = until(lambda: (lambda x: x if x['status'] == 'completed' else None)(daemon.status(t['id'])), 'it ran again')
    assert r['retry_attempt'] == 0 and len(r['attempts']) == 3
    assert daemon.get('/dead-letter-queue')['tasks'] == []
    assert len(daemon.get(f'/dead-letter-queue/{t["id"]}/history')['history']) >= 2     # resubmission erases nothing


# ── submission as such ──

def test_same_id_again(daemon):
    body = {'id': '01jbkr2e5f3g4h5j6k7l8m9nop', 'name': 'ok', 'version': 1, 'parameters': {'a': 1}}
    first = daemon.post('/submit-task', body)['task']
    assert first['id'] == '01JBKR2E5F3G4H5J6K718M9N0P'      # l is 1, o is 0
    t = daemon.wait_final(first['id'])
    assert daemon.post('/submit-task', body)['task']['status'] == 'completed'
    daemon.post('/submit-task', dict(body, parameters={'a': 2}), status=409)
    assert daemon.status(first['id']) == t                  # nothing ran again


def test_no_slot_is_lost(make_daemon):
    """Ends of every kind give their slot back: one slot serves them all."""
    d = make_daemon(slots=1)
    standard_tasks(d)
    d.define('slow', 'exec sleep 60', TimeoutSec='50ms', MaxRetries=0)
    d.define('broken', '#!/nonexistent\n')
    d.define('notobject', 'echo 3 >$JOBBERS_RESULT')
    d.start()
    ids = [d.submit(name) for name in ('ok', 'fail', 'slow', 'broken', 'notobject', 'tempfail', 'hold')]
    d.box.line()
    d.cancel(ids[-1])
    last = d.submit('ok')
    assert d.wait_final(last)['status'] == 'completed'
    assert [d.status(i)['status'] for i in ids] == ['completed', 'failed', 'failed', 'failed', 'failed', 'failed', 'cancelled']


def test_sigint_ends_it_too(daemon):
    os.kill(daemon.process.pid, signal.SIGINT)
    assert daemon.reap() == 0
