"""/metrics: the reference's numbers, right, clean for promtool, and scraped by a real Prometheus."""
import json
import re
import shutil
import signal
import socket
import subprocess
import urllib.request

import pytest

from harness import until


def metrics(daemon):
    a = daemon.ask('GET', '/metrics')
    assert a.status == 200 and a.headers['Content-Type'].startswith('text/plain; version=0.0.4')
    return a.text


def value(text, name, **labels):
    for line in text.splitlines():
        m = re.fullmatch(r'(\w+)(?:\{(.*)\})? ([-+0-9.eE]+)', line)
        if m and m.group(1) == name and all(f'{k}="{v}"' in (m.group(2) or '') for k, v in labels.items()):
            return float(m.group(3))
    return None


def test_numbers(daemon):
    daemon.define('flaky', '[ $JOBBERS_ATTEMPT = 2 ] || exit 75')
    daemon.define('dead', 'exit 1', DeadLetterPolicy='save')
    daemon.reload()
    for name in ('ok', 'ok', 'flaky', 'dead'):
        daemon.run(name)
    later = daemon.post('/schedule-task', {'task': {'name': 'ok', 'version': 1}, 'run_at': '2099-01-01T00:00:00Z'})['task']['id']
    daemon.cancel(later)
    before = value(metrics(daemon), 'queue_config_refreshes_total')
    daemon.post('/roles/default/refresh')
    text = metrics(daemon)
    ok = {'task': 'ok', 'queue': 'default', 'version': '1'}
    assert value(text, 'tasks_processed_total', status='completed', **ok) == 2
    assert value(text, 'tasks_processed_total', status='cancelled', **ok) == 1
    assert value(text, 'tasks_processed_total', task='dead', status='failed') == 1
    assert value(text, 'tasks_selected_total', **ok) == 2 and value(text, 'tasks_selected_total', task='flaky') == 2
    assert value(text, 'tasks_retried_total', task='flaky') == 1
    assert value(text, 'tasks_dead_lettered_total', task='dead') == 1
    assert value(text, 'cancellations_requested_total', **ok) == 1
    assert value(text, 'task_execution_time_seconds_count', task='flaky') == 2
    assert value(text, 'task_end_to_end_latency_seconds_count', **ok) == 3
    assert value(text, 'time_in_queue_seconds_count', **ok) == 2
    assert 0 < value(text, 'task_execution_time_seconds_sum', **ok) < 20
    assert value(text, 'task_execution_time_seconds_bucket', le='+Inf', **ok) == 2
    assert value(text, 'queue_config_refreshes_total') == before + 1
    assert value(text, 'jobbers_slots', role='default') == 16 and value(text, 'jobbers_slots_used', role='default') == 0
    assert value(text, 'jobbers_queue_waiting_tasks', queue='default') == 0
    assert value(text, 'jobbers_commit_seconds_count') > 0
    daemon.post('/drain', {'enabled': True})
    daemon.submit('ok')
    assert value(metrics(daemon), 'jobbers_queue_waiting_tasks', queue='default') == 1


def test_buckets_ascend(daemon):
    daemon.run('ok')
    counts = [float(m) for m in re.findall(r'task_execution_time_seconds_bucket\{.*\} (\d+)', metrics(daemon))]
    bounds = [float(m) for m in re.findall(r'task_execution_time_seconds_bucket\{.*le="([^"]+)"\}', metrics(daemon))]
    assert counts == sorted(counts) and bounds == sorted(bounds) and counts[-1] == 1


def test_promtool(daemon):
    promtool = shutil.which('promtool')
    if not promtool:
        pytest.skip('promtool is not installed (apt-get install prometheus)')
    daemon.run('ok')
    r = subprocess.run([promtool, 'check', 'metrics'], input=metrics(daemon), text=True, capture_output=True, timeout=30)
    assert r.returncode == 0 and not r.stderr.strip() and not r.stdout.strip(), r.stdout + r.stderr


def test_prometheus(daemon):
    prometheus = shutil.which('prometheus')
    if not prometheus:
        pytest.skip('prometheus is not installed')
    daemon.run('ok')
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    with open(daemon.path('prometheus.yml'), 'w') as f:
        json.dump({'global': {'scrape_interval': '1s', 'scrape_timeout': '1s'},
                   'scrape_configs': [{'job_name': 'jobbers', 'authorization': {'credentials_file': daemon.path('token')},
                                       'static_configs': [{'targets': [f'127.0.0.1:{daemon.port}']}]}]}, f)
    with open(daemon.path('prometheus.log'), 'w') as log:
        p = subprocess.Popen([prometheus, f'--config.file={daemon.path("prometheus.yml")}', f'--storage.tsdb.path={daemon.path("tsdb")}',
                              f'--web.listen-address=127.0.0.1:{port}'], stdout=log, stderr=log)
    try:
        def scraped():
            assert p.poll() is None, open(daemon.path('prometheus.log')).read()
            try:
                with urllib.request.urlopen(f'http://127.0.0.1:{port}/api/v1/query?query=tasks_processed_total', timeout=5) as r:
                    return json.load(r)['data']['result']
            except OSError:
                return None
        result = until(scraped, 'a scrape', patience=60)
        assert result[0]['metric']['task'] == 'ok' and result[0]['value'][1] == '1'
    finally:
        p.send_signal(signal.SIGTERM)
        p.wait(20)
