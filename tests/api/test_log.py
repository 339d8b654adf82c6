"""What the daemon says in its log about what people changed: at night somebody wants to know since when a queue is paused."""


def lines(daemon, word):
    return [line.split(': ', 1)[1] for line in daemon.log().splitlines() if word in line]


def test_changes_of_queues_and_roles(daemon):
    daemon.post('/queues', {'name': 'reports'}, status=201)
    daemon.put('/queues/reports', {'max_concurrent': 3})
    daemon.post('/queues/reports/pause')
    daemon.post('/queues/reports/pause')
    daemon.post('/queues/reports/resume')
    daemon.put('/roles/default', ['default', 'reports'])
    daemon.put('/roles/default', ['default'])
    daemon.delete('/queues/reports')
    assert lines(daemon, 'reports') == [
        'queue reports: created',
        'queue reports: max_concurrent 10 → 3',
        'queue reports: paused, no more of its tasks are started',
        'queue reports: no longer paused',
        'role default: serves default, reports',
        'queue reports: deleted',
    ]
    assert lines(daemon, 'role default')[-1] == 'role default: serves default'


def test_a_refused_change_is_not_said(daemon):
    daemon.put('/queues/reports', {'max_concurrent': -1}, status=422)
    daemon.put('/roles/default', ['nowhere'], status=400)
    daemon.delete('/queues/nowhere', status=404)
    daemon.post('/queues', {'name': 'last'}, status=201)
    said = [line.split(': ', 1)[1] for line in daemon.log().splitlines() if ': queue ' in line or ': role ' in line]
    assert said == ['queue default: created', 'role default: serves default', 'queue last: created']
