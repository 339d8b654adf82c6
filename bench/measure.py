"""measure.py: what every measurement of this directory is made of.

A measurement is an object with setup(), once() and close(). once() gives ours, the limit beside it (or the peer) and their ratio, taken as closely
together in time as can be; the runner calls it a few times, in turn with all others, so that whatever else the machine does falls on all
of them alike. What counts is the median of the ratios; figures by themselves drift with the machine."""
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(TREE, 'tests', 'api'))
import harness  # noqa: E402

SLOTS = 2 * (os.cpu_count() or 1)       # the default of --slots=


class NotInstalled(Exception):
    """A peer that is not there: a line in the table, not a failure."""


class Context:
    """What all measurements share: a place for files, the compiled helpers, how much to do."""

    def __init__(self, quick):
        self.quick = quick
        self.scratch = tempfile.mkdtemp(prefix='jobbers-bench-', dir=os.environ.get('BENCH_DIR', '/var/tmp'))
        os.chmod(self.scratch, 0o755)
        os.environ['JOBBERS_TEST_DIR'] = self.scratch           # of the daemons: the same disk as that of the limits
        self.build = harness.BUILD

    def scale(self, full, short):
        return short if self.quick else full

    def path(self, *names):
        return os.path.join(self.scratch, *names)

    def helper(self, name):
        """A program of this directory, built by make."""
        path = os.path.join(self.build, 'bench', name)
        if not os.access(path, os.X_OK):
            sys.exit(f'{path} is missing: start this with `make bench`')
        if not os.path.exists(self.path(name)):
            shutil.copy(path, self.path(name))          # tasks run as another user, who may not reach the checkout
        return self.path(name)

    def close(self):
        shutil.rmtree(self.scratch, ignore_errors=True)


class Measurement:
    """`better` is 'more' where ratios should be large, 'less' where they should be small. Without a limit the value itself is compared."""
    title = unit = limit_name = ''
    better = 'more'
    floor = goal = None
    runs = None             # fewer than the others where one takes long
    takes = 1               # in each run; more where they spread widely on a machine that others use as well

    def __init__(self, context):
        self.c = context
        self.rows = []

    def setup(self):
        pass

    def once(self):
        """(ours, limit or None)"""
        raise NotImplementedError

    def close(self):
        pass

    def take(self):
        ours, limit = self.once()
        self.rows.append((ours, limit, ours / limit if limit else ours))

    def median(self, column=2):
        return statistics.median(row[column] for row in self.rows)


class BenchDaemon(harness.Daemon):
    """A jobbersd as it is packaged, but for its directories, with the no-op task in it."""

    def __init__(self, program='/bin/true', slots=SLOTS, environment=(), **settings):
        super().__init__(slots=slots, log_level='info', **settings)
        self.environment.update(environment)
        self.in_flight = slots
        self.file('noop.task', f'[Task]\nName=noop\nVersion=1\nExecStart={program}\nMaxConcurrent=infinity\n')
        self.start()
        self.put('/queues/default', {'max_concurrent': None})

    def run_tasks(self, n):
        """Tasks a second from the first submission to the last result, as a client sees it."""
        bodies = [json.dumps({'tasks': [{'name': 'noop', 'version': 1}] * min(1000, n - i)}).encode() for i in range(0, n, 1000)]
        ids = []
        begin = time.monotonic()
        for body in bodies:
            answer = self.ask('POST', '/submit-tasks', body)
            if answer.status != 200:
                sys.exit(f'tasks are refused: {answer.text}')
            ids += re.findall('"id": ?"([0-9A-Z]{26})"', answer.text)
        # First come, first served: when the last has ended, only some that ran beside it may be left. The client sleeps until then, and does no more
        # than it must before, so that it takes no CPU time from what is measured.
        for i in reversed(ids[-2 * self.in_flight:]):
            self.wait_final(i, patience=600)
        seconds = time.monotonic() - begin
        if len(ids) != n:
            sys.exit(f'{len(ids)} instead of {n} tasks were taken')
        done = sum(self.get(f'/task-status/{i}')['status'] == 'completed' for i in ids[::max(1, n // 200)])
        if done != len(ids[::max(1, n // 200)]):
            sys.exit(f'not all of {n} tasks completed')
        return n / seconds

    def drain(self, on):
        self.post('/drain', {'enabled': on})


def output_of(*argv, **kw):
    return subprocess.run([str(a) for a in argv], check=True, stdout=subprocess.PIPE, **kw).stdout


def raw_spawn(context, n, in_flight, program):
    return float(output_of(context.helper('raw-spawn'), '-n', n, '-k', in_flight, program))
