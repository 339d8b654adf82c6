"""The curl commands of the guide that jobbers descends from, as they are printed there. Set-up: the daemon answers at localhost:8000 (to
curl, by its configuration file, which also adds the token); a task generate_report; the queues that commands name exist where
they do not make them."""
import json
import os
import subprocess

import pytest

from harness import TREE

ID = '01JBKR2E5F3G4H5J6K7L8M9N0P'
CANONICAL = '01JBKR2E5F3G4H5J6K718M9N0P'        # an L is a 1

SUBMIT = '''curl -X POST http://localhost:8000/submit-task \\
  -H "Content-Type: application/json" \\
  -d '{
    "id": "01JBKR2E5F3G4H5J6K7L8M9N0P",
    "name": "generate_report",
    "version": 1,
    "queue": "reports",
    "parameters": {"report_id": 42}
  }\''''
STATUS = 'curl http://localhost:8000/task-status/01JBKR2E5F3G4H5J6K7L8M9N0P'
LIST = 'curl "http://localhost:8000/task-list?status=started&queue=reports"'
CANCEL = 'curl -X POST http://localhost:8000/task/01JBKR2E5F3G4H5J6K7L8M9N0P/cancel'
CANCEL_MANY = '''curl -X POST http://localhost:8000/tasks/cancel \\
  -H "Content-Type: application/json" \\
  -d '{"task_ids": ["01ABC...", "01DEF..."]}\''''
QUEUE = '''curl -X POST http://localhost:8000/queues \\
  -H "Content-Type: application/json" \\
  -d '{
    "name": "reports",
    "max_concurrent": 5,
    "rate_numerator": 100,
    "rate_denominator": 1,
    "rate_period": "hour"
  }\''''
ROLE = '''curl -X POST http://localhost:8000/roles \\
  -H "Content-Type: application/json" \\
  -d '{"name": "heavy-workers", "queues": ["reports", "exports"]}\''''
DLQ = 'curl "http://localhost:8000/dead-letter-queue?task_name=generate_report&limit=25"'
HISTORY = 'curl http://localhost:8000/dead-letter-queue/01JBKR2E5F3G4H5J6K7L8M9N0P/history'
DLQ_BY_NAME = '''curl -X POST http://localhost:8000/dead-letter-queue/resubmit \\
  -H "Content-Type: application/json" \\
  -d '{"task_name": "generate_report", "reset_retry_count": true, "limit": 50}\''''
DLQ_BY_ID = '''curl -X POST http://localhost:8000/dead-letter-queue/resubmit \\
  -H "Content-Type: application/json" \\
  -d '{"task_ids": ["01ABC...", "01DEF..."], "reset_retry_count": true}\''''
DLQ_REMOVE = '''curl -X DELETE http://localhost:8000/dead-letter-queue \\
  -H "Content-Type: application/json" \\
  -d '{"task_ids": ["01ABC..."]}\''''


@pytest.fixture
def guide(make_daemon):
    d = make_daemon(slots=4)
    d.define('generate_report', 'echo run >@BOX@; read -r x <@GATE@; exit 1', DeadLetterPolicy='save', MaxRetries=0)
    d.start()
    with open(d.path('home', '.curlrc'), 'w') as f:
        f.write(f'silent\nheader = "Authorization: Bearer {d.token}"\nconnect-to = "localhost:8000:127.0.0.1:{d.port}"\n'
                'write-out = "\\n%{http_code}"\n')

    def run(command, status=200):
        env = dict(os.environ, HOME=d.path('home'), CURL_HOME=d.path('home'))
        out = subprocess.run(['/bin/sh', '-c', command], env=env, capture_output=True, text=True, timeout=20, check=True).stdout
        body, code = out.rsplit('\n', 1)
        assert int(code) == status, out
        return json.loads(body)

    d.curl = run
    return d


def fail_once(d):
    assert d.box.line() == 'run'
    d.gate.open()
    assert d.wait_final(ID)['status'] == 'failed'


def test_submit_and_status(guide):
    guide.curl(QUEUE, 201)
    a = guide.curl(SUBMIT)
    assert a['message'] == 'Task submitted successfully'
    t = a['task']
    assert (t['id'], t['name'], t['status'], t['queue'], t['retry_attempt']) == (CANONICAL, 'generate_report', 'submitted', 'reports', 0)
    assert t['submitted_at'].endswith('Z')
    s = guide.curl(STATUS)
    assert {'id', 'name', 'status', 'queue', 'retry_attempt', 'submitted_at', 'last_error'} <= set(s) and s['last_error'] is None
    assert guide.curl(LIST) == {'tasks': []}            # no role has the queue yet
    guide.put('/roles/default', ['default', 'reports'])
    assert guide.box.line() == 'run'
    assert [t['id'] for t in guide.curl(LIST)['tasks']] == [CANONICAL]
    a = guide.curl(CANCEL)
    assert a['message'] == 'Cancellation request sent' and a['task']['id'] == CANONICAL
    assert guide.wait_final(ID)['status'] == 'cancelled'
    guide.curl(CANCEL, 409)


def test_cancel_many(guide):
    a = guide.curl(CANCEL_MANY)
    assert [(r['task_id'], r['status']) for r in a['results']] == [('01ABC...', 'error'), ('01DEF...', 'error')]


def test_queue_and_role(guide):
    a = guide.curl(QUEUE, 201)
    assert a['queue']['rate_numerator'] == 100 and a['queue']['rate_period'] == 'hour' and a['queue']['max_concurrent'] == 5
    guide.curl(QUEUE, 409)
    assert 'exports' in guide.curl(ROLE, 400)['detail']
    guide.put('/queues/exports', {})
    a = guide.curl(ROLE, 201)
    assert (a['role'], a['queues']) == ('heavy-workers', ['exports', 'reports'])


def test_a_worker_of_the_role(guide):
    """WORKER_ROLE=heavy-workers serves the queues of that role."""
    guide.put('/queues/exports', {})
    guide.put('/queues/reports', {})
    guide.curl(ROLE, 201)
    guide.environment['WORKER_ROLE'] = 'heavy-workers'
    guide.restart()
    assert [r['name'] for r in guide.get('/status')['roles']] == ['heavy-workers']
    t = guide.submit('generate_report', queue='exports')
    assert guide.box.line() == 'run'
    guide.gate.open()
    guide.wait_final(t)


def test_dead_letter_queue(guide):
    guide.curl(QUEUE, 201)
    guide.put('/roles/default', ['default', 'reports'])
    guide.curl(SUBMIT)
    fail_once(guide)
    assert [t['id'] for t in guide.curl(DLQ)['tasks']] == [CANONICAL]
    h = guide.curl(HISTORY)
    assert h['task_id'] == CANONICAL and [x['retry_attempt'] for x in h['history']] == [0] and h['history'][0]['error']
    a = guide.curl(DLQ_BY_NAME)
    assert a['resubmitted'] == 1 and a['tasks'][0]['retry_attempt'] == 0
    fail_once(guide)
    assert len(guide.curl(HISTORY)['history']) == 2
    assert guide.curl(DLQ_BY_ID)['resubmitted'] == 0
    assert guide.curl(DLQ_REMOVE)['removed'] == 0
    assert [t['id'] for t in guide.curl(DLQ)['tasks']] == [CANONICAL]


# ── what the guide says beside its commands ──

def test_queue_and_role_tables(guide):
    """Method and path of both tables."""
    guide.curl(QUEUE, 201)
    api, json_type = 'curl http://localhost:8000', '-H "Content-Type: application/json"'
    assert guide.curl(f'{api}/queues')['queues'] == ['default', 'reports']
    assert guide.curl(f'{api}/queues/reports/config')['queue']['max_concurrent'] == 5
    assert guide.curl(f'{api}/queues/exports -X PUT {json_type} -d \'{{"name": "exports", "max_concurrent": 3}}\'')['queue']['max_concurrent'] == 3
    guide.curl(ROLE, 201)
    assert guide.curl(f'{api}/roles')['roles'] == ['default', 'heavy-workers']
    assert guide.curl(f'{api}/roles/heavy-workers')['queues'] == ['exports', 'reports']
    assert guide.curl(f'{api}/roles/heavy-workers -X PUT {json_type} -d \'["exports"]\'')['queues'] == ['exports']
    guide.curl(f'{api}/roles/heavy-workers -X DELETE')
    guide.curl(f'{api}/queues/exports -X DELETE')
    assert guide.curl(f'{api}/queues')['queues'] == ['default', 'reports']


def test_defaults(guide):
    """The table of @register_task, as a definition that says nothing has it."""
    d = guide.get('/definitions/generate_report/1')['definition']
    guide.file('bare.task', '[Task]\nName=bare\nVersion=1\nExecStart=generate_report\n')
    guide.reload()
    d = guide.get('/definitions/bare/1')['definition']
    assert (d['max_retries'], d['retry_delay'], d['backoff_strategy'], d['max_retry_delay'], d['timeout'], d['dead_letter_policy'],
            d['max_heartbeat_interval'], d['max_concurrent'], d['on_shutdown']) == (3, None, 'exponential', 3600, None, 'none', None, 1, 'stop')


def test_cancelling(guide):
    """submitted and scheduled at once, started by its end, anything else 409."""
    guide.post('/drain', {'enabled': True})
    waiting = guide.submit('generate_report')
    cancel = 'curl -X POST http://localhost:8000/task/%s/cancel'
    assert guide.curl(cancel % waiting)['task']['status'] == 'cancelled'
    scheduled = guide.post('/schedule-task', {'task': {'name': 'generate_report', 'version': 1}, 'run_at': '2099-01-01T00:00:00Z'})['task']['id']
    assert guide.curl(cancel % scheduled)['task']['status'] == 'cancelled'
    guide.curl(cancel % scheduled, 409)
    guide.post('/drain', {'enabled': False})
    running = guide.submit('generate_report')
    assert guide.box.line() == 'run'
    guide.curl(cancel % running)
    assert guide.wait_final(running)['status'] == 'cancelled'


def test_versions_side_by_side(guide):
    guide.define('my_task', 'echo one >@BOX@')
    guide.define('my_task', 'echo two >@BOX@', version=2)
    guide.reload()
    guide.run('my_task')
    assert guide.box.line() == 'one'
    guide.run('my_task', version=2)
    assert guide.box.line() == 'two'
    assert '1, 2' in guide.post('/submit-task', {'name': 'my_task', 'version': 3}, status=400)['detail']


PYTHON = '''#!/usr/bin/python3
from jobbers import Client, task

async def generate_report(**kwargs):
    report_id = kwargs["report_id"]
    if task.retry_attempt == 0:
        raise ConnectionError("not yet")
    for section in range(3):
        task.heartbeat()
    return {"url": f"/reports/{report_id}.pdf"}

task.run(generate_report)
'''
FULL = '''[Task]
Name=full_report
Version=1
ExecStart=full_report
MaxRetries=5
RetryDelaySec=0.1
BackoffStrategy=exponential_jitter
MaxRetryDelaySec=300
RetryOn=TimeoutException ConnectionError
TimeoutSec=120
DeadLetterPolicy=save
MaxHeartbeatIntervalSec=5min
MaxConcurrent=2
OnShutdown=stop
'''


def test_full_configuration(guide):
    """The guide's second example: the function as it stands there, its arguments as a definition."""
    with open(os.path.join(TREE, 'python', 'jobbers.py')) as f:
        guide.file('jobbers.py', f.read(), directory='libexec')
    guide.script('full_report', PYTHON)
    guide.file('full_report.task', FULL)
    guide.reload()
    t = guide.run('full_report', parameters={'report_id': 42})
    assert t['status'] == 'completed' and t['results'] == {'url': '/reports/42.pdf'}, t
    assert t['retry_attempt'] == 1 and t['attempts'][0]['error_type'] == 'ConnectionError' and t['attempts'][0]['error'] == 'not yet'
