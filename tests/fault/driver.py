"""driver.py: what all campaigns share: a daemon with tasks that keep a ledger, clients whose history is kept, faults, and the end at which
checker.py is asked. A campaign is a World, some load, and whatever it does to them meanwhile."""
import json
import os
import random
import select
import shutil
import signal
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'api'))
sys.path.insert(0, HERE)
import checker  # noqa: E402
from harness import BUILD, FINAL, Client, Daemon, alive, parent_of, until  # noqa: E402

LEDGER_TASK = os.path.join(BUILD, 'tests', 'fault', 'ledger-task')

# name: (arguments of ledger-task, keys of the definition, what the checker must know of it)
KINDS = {
    'short': ('', {}, {}),
    'medium': ('sleep=80', {}, {}),
    'long': ('sleep=700', {'OnShutdown': 'continue'}, {}),
    'again': ('sleep=150', {'OnShutdown': 'resubmit'}, {}),
    'flaky': ('sleep=10 until=3:75', {}, {}),
    'later': ('until=2:75', {'RetryDelaySec': '50ms', 'OnShutdown': 'resubmit'}, {}),
    'hopeless': ('exit=75', {'MaxRetries': '2', 'DeadLetterPolicy': 'save'}, {'retries': 2, 'save': True}),
    'failing': ('beat sleep=30 exit=1', {'MaxHeartbeatIntervalSec': '60s', 'DeadLetterPolicy': 'save'}, {'save': True}),
    'leaving': ('child sleep=20', {'KillGraceSec': '50ms'}, {}),
    'crashing': ('signal=11', {}, {}),
    'limited': ('child sleep=600', {'TimeoutSec': '120ms', 'MaxRetries': '1', 'KillGraceSec': '100ms'}, {'timeout': True, 'retries': 1}),
    'silent': ('sleep=600', {'MaxHeartbeatIntervalSec': '120ms', 'KillGraceSec': '100ms', 'OnShutdown': 'resubmit'}, {'stalled': True}),
}


def boot():
    """µs since boot, as the ledger has it."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def new_id(r):
    n = (int(time.time() * 1000) << 80) | r.getrandbits(80)
    return ''.join(checker.ALPHABET[n >> (5 * i) & 31] for i in reversed(range(26)))


class History:
    def __init__(self):
        self.entries, self.lock = [], threading.Lock()
        self.stamp = None                       # a campaign's own measure of now

    def add(self, op, t0=None, t1=None, **facts):
        now = boot()
        if self.stamp:
            facts['at'] = self.stamp()
        with self.lock:
            self.entries.append({'op': op, 't0': now if t0 is None else t0, 't1': now if t1 is None else t1, **facts})

    def ids(self):
        with self.lock:
            return [t['id'] for h in self.entries if h['op'] == 'submit' for t in h['tasks']]


class Load(threading.Thread):
    """A client that submits, cancels, resubmits and looks, as long as it may; what came of each request is in the history."""

    def __init__(self, world, seed, pause, kinds=None, cancels=True):
        super().__init__(daemon=True)
        self.world, self.client, self.random, self.pause = world, Client(world.d.path('s')), random.Random(seed), pause
        self.kinds, self.cancels = kinds or list(KINDS), cancels
        self.acknowledged, self.problems = [], []
        self.enough = threading.Event()

    def run(self):
        try:
            while not self.enough.is_set():
                self.once()
                self.enough.wait(self.pause * self.random.uniform(0.5, 1.5))
        except Exception as e:              # a load that died silently would make this a test of nothing
            self.problems.append(f'the load failed: {e!r}')

    def call(self, op, path, body, patience=400, **facts):
        """Until it is answered, the same body each time, as a client would after a lost connection; some clients give up."""
        for _ in range(patience):
            t0 = boot()
            try:
                a = self.client.ask('POST', path, body)
            except Exception:
                self.client.forget_connection()
                self.world.history.add(op, t0, answer='unknown', **facts)
            else:
                kind = 'acknowledged' if a.status in (200, 201) else 'refused' if a.status not in (503,) else 'unknown'
                self.world.history.add(op, t0, answer=kind, code=a.status, **facts)
                return a
            if self.enough.wait(0.005):
                return None
        return None

    def once(self):
        r = self.random
        many = r.random() < 0.3
        tasks = [{'id': new_id(r), 'name': r.choice(self.kinds), 'version': 1, 'priority': r.randint(-2, 2)}
                 for _ in range(r.randint(2, 8) if many else 1)]
        for t in tasks:
            if r.random() < 0.05:
                t['parameters'] = {'padding': 'x' * r.choice((10, 900, 5000))}
        named = [{'id': t['id'], 'name': t['name']} for t in tasks]
        a = self.call('submit', '/submit-tasks' if many else '/submit-task', {'tasks': tasks} if many else tasks[0],
                      patience=1 if r.random() < 0.1 else 400, tasks=named)
        if a is None or a.status not in (200, 201):
            self.expect(a, (503, 507), 'a submission')
            return
        self.acknowledged += [t['id'] for t in tasks]
        if r.random() < 0.12 and self.cancels:
            victim = r.choice(tasks)['id']
            self.expect(self.call('cancel', f'/task/{victim}/cancel', None, id=victim), (200, 409, 503, 507), 'a cancel')
        if r.random() < 0.06 and self.cancels:
            victim = r.choice(self.acknowledged[-50:])
            self.expect(self.call('resubmit', f'/task/{victim}/resubmit', None, patience=1, id=victim), (200, 409, 503, 507), 'a resubmission')
        if r.random() < 0.3:
            self.look(r.choice(self.acknowledged[-50:]))

    def look(self, task_id):
        t0 = boot()
        try:
            a = self.client.ask('GET', f'/task-status/{task_id}')
        except Exception:
            self.client.forget_connection()
            return
        if a.status == 200:
            self.world.history.add('seen', t0, id=task_id, status=a.json['status'])
        elif a.status == 404:
            self.problems.append(f'{task_id} was acknowledged and is unknown: {a.text}')

    def expect(self, a, allowed, what):
        if a is not None and a.status not in (200, 201) + allowed:
            self.problems.append(f'{what} was answered {a.status}: {a.text}')


class World:
    def __init__(self, seed, mode=None, before_start=None, **settings):
        self.random, self.seed = random.Random(seed), seed
        self.history = History()
        self.loads, self.problems, self.numbers = [], [], {}
        settings.setdefault('slots', 24)
        settings.setdefault('log_level', 'debug')
        self.d = Daemon(mode, **settings)
        self.definitions = {name: facts for name, (_, _, facts) in KINDS.items()}
        for name in ('ledger', 'locks'):
            path = self.d.path('data', name)
            open(path, 'w').close()
            os.chmod(path, 0o666)
        self.install('ledger-task')
        for name, (arguments, keys, _) in KINDS.items():
            self.define(name, arguments, **keys)
        try:
            if before_start:
                before_start(self)
            self.d.start()
            self.d.put('/queues/default', {'max_concurrent': None})
        except BaseException:
            self.d.close(check=False)
            raise

    def install(self, name):
        target = self.d.path('libexec', name)
        shutil.copy(LEDGER_TASK, target)
        os.chmod(target, 0o755)
        if self.d.uid != os.geteuid():
            os.chown(target, self.d.uid, self.d.uid)

    def define(self, name, arguments, facts=None, **keys):
        keys.setdefault('MaxConcurrent', 'infinity')
        lines = ''.join(f'{k}={v}\n' for k, v in keys.items())
        self.d.file(f'{name}.task', f'[Task]\nName={name}\nVersion=1\nExecStart=ledger-task @DATA@ {arguments}\n{lines}')
        if facts is not None:
            self.definitions[name] = facts

    # ── load ──

    def load(self, n=2, pause=0.04, **more):
        for _ in range(n):
            self.loads.append(Load(self, self.random.random(), pause, **more))
            self.loads[-1].start()

    def submit(self, name, count=1, patience=10):
        """`count` tasks, in the history; their ids. Asked again, as a client would, while the answer is "not now" or none comes."""
        tasks = [{'id': new_id(self.random), 'name': name, 'version': 1} for _ in range(count)]
        named = [{'id': t['id'], 'name': t['name']} for t in tasks]
        deadline = time.monotonic() + patience
        while True:
            t0 = boot()
            try:
                a = self.d.ask('POST', '/submit-tasks', {'tasks': tasks}) if count > 1 else self.d.ask('POST', '/submit-task', tasks[0])
            except Exception:
                self.d.forget_connection()
                self.history.add('submit', t0, tasks=named, answer='unknown')
                if not self.d.process or select.select([self.d.pidfd], [], [], 0.02)[0]:
                    return []
            else:
                kind = 'acknowledged' if a.status in (200, 201) else 'unknown' if a.status == 503 else 'refused'
                self.history.add('submit', t0, tasks=named, answer=kind, code=a.status)
                if kind == 'acknowledged':
                    return [t['id'] for t in tasks]
                if a.status not in (503, 507) or time.monotonic() > deadline:
                    self.problems.append(f'a submission of {name} was answered {a.status}: {a.text}')
                    return []
                time.sleep(0.05)

    # ── faults ──

    def fault(self, what):
        self.history.add('fault', what=what)

    def supervisors(self):
        """Of this instance, whatever became of their launcher; those that wait for work too."""
        launcher = None
        try:
            launcher = self.d.launcher_pid()
        except (AssertionError, OSError, AttributeError):
            pass
        parents = {}
        for pid in self.d.processes():
            try:
                if b'--launcher' in open(f'/proc/{pid}/cmdline', 'rb').read() and pid != launcher and parent_of(pid) != self.pid():
                    parents[pid] = parent_of(pid)
            except OSError:
                pass
        # a child of one of them is a task that has not begun yet
        return [pid for pid, parent in parents.items() if parent not in parents]

    def pid(self):
        return self.d.process.pid if self.d.process else 0

    def kill(self, victims):
        """kill -9 of all of them at once, as far as they are there. True when the daemon goes with it. A killed launcher takes the daemon
        along, and that must not look like an orderly end."""
        pids, names = [], []
        for v in victims:
            try:
                pid = {'daemon': self.pid, 'launcher': self.d.launcher_pid}[v]() if v != 'supervisor' else self.random.choice(self.supervisors())
            except (AssertionError, OSError, IndexError):
                continue
            if pid not in pids:
                pids.append(pid)
                names.append(v)
        for v in names:
            self.fault(v)
            self.numbers[v] = self.numbers.get(v, 0) + 1
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        if 'daemon' in names or 'launcher' in names:
            status = self.d.reap()
            if 'daemon' not in names and status == 0:
                self.problems.append('the daemon of a killed launcher ended with 0')
            return True
        return False

    # ── the end ──

    def join(self):
        for load in self.loads:
            load.enough.set()
        for load in self.loads:
            load.join(60)
            if load.is_alive():
                self.problems.append('a client hangs')
            self.problems += load.problems
            load.client.forget_connection()
        self.loads = []

    def settle(self, patience=100):
        """Until nothing waits or runs any more."""
        deadline = time.monotonic() + patience
        for status in ('scheduled', 'submitted', 'started') * 2:
            while True:
                page = self.d.ask('GET', '/task-list', status=status, limit=1).json
                if not page['tasks']:
                    break
                if time.monotonic() > deadline:
                    self.problems.append(f'after {patience} s there still is {page["tasks"][0]}')
                    return
                self.d.get(f'/task-status/{page["tasks"][0]["id"]}', wait=5)
        self.history.add('settled')

    def sample(self):
        """Descriptors and memory of daemon and launcher at rest: the least of some looks, since connections take a moment to go."""
        least = {}
        for _ in range(5):
            for name, pid in (('daemon', self.pid()), ('launcher', self.d.launcher_pid())):
                rss = int(next(line for line in open(f'/proc/{pid}/status') if line.startswith('VmRSS')).split()[1])
                for key, value in ((f'{name} descriptors', len(os.listdir(f'/proc/{pid}/fd'))), (f'{name} memory KiB', rss)):
                    least[key] = min(least.get(key, 1 << 40), value)
            time.sleep(0.05)
        return least

    def flat(self, tasks=120):
        """Two samples with work between them."""
        samples = {}
        for _ in range(2):
            for name in ('short', 'leaving'):
                self.submit(name, tasks // 2)
            self.settle()
            for key, value in self.sample().items():
                samples.setdefault(key, []).append(value)
        return samples

    def describe(self, pid):
        try:
            command = open(f'/proc/{pid}/cmdline', 'rb').read().replace(b'\0', b' ').decode()[:60]
            files = sorted(os.readlink(f'/proc/{pid}/fd/{n}') for n in os.listdir(f'/proc/{pid}/fd'))
            return f'{pid}, child of {parent_of(pid)}, {command}, in {open(f"/proc/{pid}/wchan").read()}, files {files}'
        except OSError as e:
            return f'{pid} {e}'

    def scan(self, samples):
        left = {}
        for found in self.d.leftovers():
            what, things = found.split(' left behind: ', 1)
            left[{'attempts': 'directories'}.get(what, what)] = things
        if 'processes' in left:
            left['processes'] = [self.describe(pid) for pid in self.d.processes()]
        if 'cgroups' in left:
            left['cgroups'] = [(path, open(path + '/cgroup.procs').read().split(), [n for n in os.listdir(path) if os.path.isdir(f'{path}/{n}')])
                               for path in self.d.cgroups()]
        return {'samples': samples, 'slots': self.d.settings['slots'], **left}

    def finish(self, clock_was_set=False, keep=None):
        """Calm, the end, the checker; (violations, numbers). The daemon runs when this is called."""
        samples, scan = {}, {}
        try:
            self.join()
            self.history.add('calm')
            self.settle()
            samples = self.flat()
            self.d.stop()
            scan = self.scan(samples)
        except Exception as e:
            self.problems.append(f'{type(e).__name__}: {str(e)[:2000]}')
            scan = {'samples': samples}
        scan['clock_was_set'] = clock_was_set
        try:
            ledger, store = checker.read_ledger(self.d.path('data', 'ledger')), checker.read_store(self.d.path('state', 'jobbers.db'))
            found = checker.violations(self.history.entries, ledger, store, scan, self.definitions)
        except Exception as e:
            found, ledger, store = {'the campaign itself': [repr(e)]}, [], {'tasks': [], 'attempts': []}
        if self.problems:
            found['on the way'] = self.problems
        self.numbers.update(tasks=len(store['tasks']), starts=sum(x['what'] == 'S' for x in ledger),
                            unanswered=sum(h.get('answer') == 'unknown' for h in self.history.entries))
        for status in FINAL:
            n = sum(t['status'] == status for t in store['tasks'])
            if n:
                self.numbers[status] = n
        self.numbers['host-lost'] = sum(a['end_reason'] == 'host-lost' for a in store['attempts'])
        if found:
            self.keep(keep, found)
        self.close()
        return found, self.numbers

    def keep(self, where, found):
        """What was seen, for whoever has to find out."""
        where = where or os.environ.get('JOBBERS_FAULT_KEEP')
        if not where:
            return
        os.makedirs(where, exist_ok=True)
        target = os.path.join(where, f'world-{self.seed}')
        shutil.copytree(self.d.tmp, target, dirs_exist_ok=True, ignore=lambda d, names: [n for n in names if n in ('box', 'gate', 's')])
        with open(os.path.join(target, 'history'), 'w') as f:
            for h in self.history.entries:
                f.write(json.dumps(h) + '\n')
        with open(os.path.join(target, 'violations'), 'w') as f:
            json.dump(found, f, indent=1)

    def close(self):
        try:
            self.d.close(check=False)
        except Exception:
            pass


def show(found, limit=30):
    lines = [f'{name}: {s}' for name, sentences in found.items() for s in sentences]
    return '\n'.join(line[:1500] for line in lines[:limit])


__all__ = ['World', 'Load', 'History', 'KINDS', 'boot', 'new_id', 'show', 'alive', 'until', 'FINAL', 'BUILD', 'HERE']
