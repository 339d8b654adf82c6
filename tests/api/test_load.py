"""Many small tasks: each exactly once, and nothing of them stays in the daemon."""
import collections
import os

from harness import until


def descriptors(pid):
    return len(os.listdir(f'/proc/{pid}/fd'))


def resident(pid):
    return next(int(line.split()[1]) for line in open(f'/proc/{pid}/status') if line.startswith('VmRSS:'))


def children(pid):
    return sorted(open(f'/proc/{pid}/task/{pid}/children').read().split())


def burst(d, n):
    ids = []
    for i in range(0, n, 1000):
        tasks = [{'name': 'noop', 'version': 1} for _ in range(min(1000, n - i))]
        ids += [t['id'] for t in d.post('/submit-tasks', {'tasks': tasks})['tasks']]
    for i in ids:
        assert d.wait_final(i, 120)['status'] == 'completed'
    return ids


def test_two_thousand_at_once(make_daemon):
    d = make_daemon(slots=64, log_level='notice')
    d.define('noop', 'echo $JOBBERS_TASK_ID >>@DATA@/ledger')
    d.start()
    d.put('/queues/default', {'max_concurrent': None})
    pid, launcher = d.process.pid, d.launcher_pid()
    launcher_before = descriptors(launcher)
    ids = burst(d, 300)                     # so that caches have their size
    # supervisors wait a few seconds for more work before they go
    until(lambda: d.records() == [] and children(launcher) == [], 'everything is forgotten')
    before = descriptors(pid), children(pid)
    memory = resident(pid), resident(launcher)

    ids += burst(d, 2000)
    starts = collections.Counter(open(d.path('data', 'ledger')).read().split())
    assert starts == collections.Counter(ids)
    until(lambda: d.records() == [] and d.attempts() == [], 'all records are forgotten')
    if 'san' not in os.environ.get('JOBBERS_BUILD', ''):        # a sanitizer keeps what was freed
        assert resident(pid) - memory[0] < 3072, 'KiB more in the daemon'
        assert resident(launcher) - memory[1] < 1024, 'KiB more in the launcher'
    until(lambda: children(launcher) == [] and descriptors(launcher) == launcher_before, 'the launcher is as it was')
    until(lambda: (descriptors(pid), children(pid)) == before, 'the daemon is as it was')
