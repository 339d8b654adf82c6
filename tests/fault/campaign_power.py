"""campaign_power.py: power cuts, thousands of them, without a machine.

The state directory lies on an ext4 of its own, on a loop device over a FUSE export of qemu-storage-daemon, whose blklogwrites driver writes down every
write and flush in their order. After some seconds under load the log is played back: a power cut at an entry leaves all writes up to the
last flush before it and a random part of the rest, whole or torn at 4 KiB. Such a state is mounted (ext4 replays its journal), the
database is opened, and held against what clients had been told and tasks had begun by then. Of some states a real daemon is
started, under another boot id, and has to bring every task to its end.

This is a model: disks that lie about flushes, or tear below 4 KiB, are not in it; kernel and file system are real."""
import ctypes
import mmap
import os
import random
import re

import shutil
import signal
import sqlite3
import struct
import subprocess
import tempfile
import time

from checker import FINAL, STATUSES, read_ledger
from driver import World, boot, until

SIZE = 32 << 20
BLOCK = 4096
MAGIC, VERSION = 0x6a736677736872, 1
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
MS_RDONLY = 1
libc = ctypes.CDLL(None, use_errno=True)


def mount(device, path, flags=0):
    if libc.mount(device.encode(), path.encode(), b'ext4', flags, None) < 0:
        raise OSError(ctypes.get_errno(), f'mount {device} on {path}: {os.strerror(ctypes.get_errno())}')


def umount(path):
    if libc.umount2(path.encode(), 0) < 0:
        raise OSError(ctypes.get_errno(), f'umount {path}: {os.strerror(ctypes.get_errno())}')


def loop_attach(path):
    return subprocess.run(['losetup', '-f', '--show', path], capture_output=True, text=True, check=True).stdout.strip()


def loop_detach(device):
    subprocess.run(['losetup', '-d', device], check=False)


class Recorder:
    """A disk whose every write and flush is logged. `position` is how much of the log there is."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='power-', dir='/dev/shm')
        self.disk, self.log, self.front = (os.path.join(self.dir, n) for n in ('disk', 'log', 'front'))
        with open(self.disk, 'wb') as f:
            f.truncate(SIZE)
        open(self.log, 'wb').close()
        open(self.front, 'wb').close()
        subprocess.run(['mkfs.ext4', '-q', '-E', 'lazy_itable_init=0,lazy_journal_init=0,nodiscard', '-J', 'size=4', '-m', '0', self.disk], check=True)
        self.before = os.path.join(self.dir, 'before')
        shutil.copy(self.disk, self.before)
        self.qemu = subprocess.Popen(['qemu-storage-daemon', '--blockdev', f'driver=file,node-name=disk,filename={self.disk}',
                                      '--blockdev', f'driver=file,node-name=log,filename={self.log}',
                                      '--blockdev', 'driver=blklogwrites,node-name=recorded,file=disk,log=log,log-sector-size=512',
                                      '--export', f'type=fuse,id=front,node-name=recorded,mountpoint={self.front},writable=on'],
                                     stderr=subprocess.PIPE)
        until(lambda: os.path.getsize(self.front) == SIZE or self.qemu.poll() is not None, 'the recorded disk is there')
        assert self.qemu.poll() is None, self.qemu.stderr.read().decode()
        self.loop = loop_attach(self.front)

    def position(self):
        return os.stat(self.log).st_size

    def stop(self):
        loop_detach(self.loop)
        self.qemu.send_signal(signal.SIGTERM)
        self.qemu.wait(20)

    def remove(self):
        if self.qemu.poll() is None:
            self.qemu.kill()
            self.qemu.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def log_entries(path):
    """(end of the entry in the log, flags, offset on the disk, data) in order."""
    with open(path, 'rb') as f:
        magic, version, _, sector = struct.unpack('<QQQI', f.read(28))
        assert (magic, version) == (MAGIC, VERSION), 'this is no log of writes'
        f.seek(sector)
        while len(head := f.read(sector)) == sector:
            at, count, flags, _ = struct.unpack('<QQQQ', head[:32])
            data = b'' if flags & (DISCARD | FLUSH) and not (flags & FUA) and count == 0 else f.read(count * sector) if not flags & DISCARD else b''
            yield f.tell(), flags, at * sector, data


class Playback:
    """The disk as it was durable, and the writes since the last flush."""

    def __init__(self, before):
        self.image = bytearray(open(before, 'rb').read())
        self.pending = []

    def take(self, flags, offset, data):
        if flags & FLUSH:
            for at, block in self.pending:
                self.image[at:at + len(block)] = block
            self.pending = []
        if flags & FUA:
            self.image[offset:offset + len(data)] = data
        else:
            self.pending += [(offset + i, data[i:i + BLOCK]) for i in range(0, len(data), BLOCK)]

    def write_crash(self, disk, r):
        """A disk after a cut right now: a random part of what was not flushed, from none to all of it."""
        disk[:] = self.image
        share = r.choice((0, 0.5, 0.5, 0.9, 1))
        for at, block in self.pending:
            if r.random() < share:
                disk[at:at + len(block)] = block


class Truth:
    """What must be in the store once the log had come to some position: told to clients, or shown by a task that began."""

    def __init__(self, history, ledger, stamps):
        facts = []                              # (position, kind, id, detail)
        resubmitted = {h['id'] for h in history if h['op'] == 'resubmit'}
        for h in history:
            if h['op'] == 'submit' and h['answer'] == 'acknowledged':
                facts += [(h['at'], 'there', t['id'], None) for t in h['tasks']]
            elif h['op'] == 'cancel' and h['answer'] == 'acknowledged' and h['id'] not in resubmitted:
                facts.append((h['at'], 'cancelled', h['id'], None))
            elif h['op'] == 'recorded':
                facts.append((h['at'], 'recorded', h['name'], None))
            elif h['op'] == 'seen' and h['status'] in FINAL and h['id'] not in resubmitted:
                facts.append((h['at'], 'final', h['id'], h['status']))
        stamps = sorted(stamps)
        i = 0
        for line in sorted(ledger, key=lambda x: x['boot']):
            if line['what'] != 'S':
                continue
            while i < len(stamps) and stamps[i][0] < line['boot']:
                i += 1
            if i < len(stamps):
                facts.append((stamps[i][1], 'begun', line['id'], line['attempt']))
        self.facts = sorted(facts, key=lambda f: f[0])
        self.next = 0
        self.there, self.cancelled, self.final, self.begun, self.recorded = set(), set(), {}, {}, set()

    def advance(self, position):
        while self.next < len(self.facts) and self.facts[self.next][0] <= position:
            _, kind, task_id, detail = self.facts[self.next]
            self.next += 1
            if kind == 'there':
                self.there.add(task_id)
            elif kind == 'cancelled':
                self.cancelled.add(task_id)
            elif kind == 'recorded':
                self.recorded.add(task_id)
            elif kind == 'final':
                self.final[task_id] = detail
            else:
                self.begun[task_id] = max(detail, self.begun.get(task_id, 0))

    def against(self, tasks):
        """tasks: id → (status, attempts, stop_reason). Sentences."""
        for task_id in self.there:
            if task_id not in tasks:
                yield f'{task_id} was acknowledged and is lost'
        for task_id, status in self.final.items():
            if task_id in tasks and tasks[task_id][0] != status:
                yield f'{task_id} was told to be {status} and is {tasks[task_id][0]}'
        for task_id in self.cancelled:
            if task_id in tasks and tasks[task_id][0] != 'cancelled' and tasks[task_id][2] != 1:
                yield f'{task_id}: its cancel was answered and is forgotten'
        for task_id, attempt in self.begun.items():
            if task_id not in tasks or tasks[task_id][1] < attempt:
                yield f'{task_id}: attempt {attempt} had begun, the store knows of {tasks[task_id][1] if task_id in tasks else "no task"}'


    def records_in(self, directory):
        """The exit records that supervisors had left before they ended."""
        for name in self.recorded:
            try:
                text = open(os.path.join(directory, name), 'rb').read()
            except OSError as e:
                yield f'the exit record {name} is lost: {e.strerror}'
            else:
                if not text.startswith(b'JOBBERS_EXIT_RECORD=1\n') or name.split('.')[0].encode() not in text:
                    yield f'the exit record {name} is damaged: {text[:60]}'


ID = {}


def ulid_of(blob):
    text = ID.get(blob)
    if text is None:
        from checker import ulid
        text = ID[blob] = ulid(blob)
    return text


def tasks_of(path, thorough):
    """The database as a daemon would find it after the cut; (tasks, complaint)."""
    db = sqlite3.connect(path)
    try:
        complaint = None
        if thorough:
            text = db.execute('PRAGMA integrity_check(1)').fetchone()[0]
            complaint = None if text == 'ok' else text
        return {ulid_of(i): (STATUSES[s], n, stop) for i, s, n, stop in db.execute('SELECT id, status, attempts, stop_reason FROM tasks')}, complaint
    except sqlite3.DatabaseError as e:
        # a daemon that was cut off in its very first moment
        return {}, None if str(e) == 'no such table: tasks' else str(e)
    finally:
        db.close()


def record(seed, seconds, recorder):
    """Some seconds under load; (history, ledger, stamps, the world). The world's daemon is gone afterwards, as is the disk."""
    stamps = []

    def on_disk(world):
        path = world.d.path('state')
        os.mkdir(path, 0o700)
        mount(recorder.loop, path)
        os.chmod(path, 0o700)
        import pwd
        user = pwd.getpwnam('jobbers') if world.d.mode == 'system' else None
        os.chown(path, user.pw_uid if user else world.d.uid, user.pw_gid if user else world.d.uid)
        world.history.stamp = recorder.position

    world = World(seed, before_start=on_disk, log_level='info')
    try:
        world.load(3, pause=0.004)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.002)
            stamps.append((boot(), recorder.position()))
        world.join()
        # the last ones end while no daemon is there: their records alone tell of it
        world.submit('long', 4)
        world.submit('again', 4)
        until(lambda: len(open(world.d.path('data', 'ledger')).read().splitlines()) and running(world) >= 6, 'the last ones run')
        world.d.kill9()
        alone = time.time() * 1e6
        until(lambda: not world.supervisors(), 'the last ones have ended', 60)
        for name in world.d.records():
            # one that was written for a daemon that was there is not synced, and its task runs again when both are lost
            ended = re.search(rb'^ENDED_AT=(\d+)$', open(os.path.join(world.d.records_dir, name), 'rb').read(), re.M)
            if ended and int(ended[1]) > alone:
                world.history.add('recorded', name=name)
        until(lambda: not kill_all(world), 'all of it is gone', 60)
        until(lambda: not unmount_fails(world.d.path('state')), 'the disk is free')
    except BaseException:
        world.close()
        raise
    stamps += [(h['t1'], h['at']) for h in world.history.entries]
    return world, stamps


def kill_all(world):
    pids = world.d.processes()
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    return pids


def running(world):
    return len(world.d.ask('GET', '/task-list', status='started', limit=50).json['tasks'])


def unmount_fails(path):
    try:
        umount(path)
        return None
    except OSError as e:
        return e


def start_on(world, state, truth, fake_boot):
    """A real daemon on a disk after a cut, as after a boot: it brings all tasks to their end and changes none that had one."""
    from harness import Daemon
    complaints = []
    d = Daemon(world.d.mode, slots=24, log_level='info', state_dir=state, task_dir=world.d.path('tasks.d'), libexec_dir=world.d.path('libexec'))
    plain = d.command()
    d.command = lambda: ['unshare', '-m', '--propagation', 'private', 'sh', '-c',
                         f'mount --bind {fake_boot} /proc/sys/kernel/random/boot_id && exec "$@"', 'sh', *plain]
    try:
        d.start()
        for status in ('scheduled', 'submitted', 'started') * 2:
            deadline = time.monotonic() + 60
            while page := d.ask('GET', '/task-list', status=status, limit=1).json['tasks']:
                assert time.monotonic() < deadline, f'60 s after the cut: {page[0]}'
                d.get(f'/task-status/{page[0]["id"]}', wait=5)
        d.stop()
        tasks, complaint = tasks_of(os.path.join(state, 'jobbers.db'), True)
        complaints += [complaint] if complaint else []
        complaints += [f'after recovery: {s}' for s in truth.against(tasks)]
        complaints += [f'{i} is {t[0]} after recovery' for i, t in tasks.items() if t[0] not in FINAL]
        complaints += [f'after recovery: {s}' for s in d.leftovers()]
    except AssertionError as e:
        complaints.append(f'a daemon on this disk: {str(e)[-1500:]}')
    finally:
        try:
            d.close(check=False)
        except Exception:
            pass
    return complaints


PER_RECORDING = 1000


def cuts(n, seed):
    """n crash states, of a recording of its own for every PER_RECORDING of them."""
    found, totals, done = {}, {}, 0
    while done < n:
        some = min(PER_RECORDING, n - done)
        more, numbers = cuts_of_one(some, f'{seed}.{done}', 3 if n < 1000 else 8, max(2, some // 100))
        done += some
        if done < n:
            print(f'{done} of {n}: {numbers}, {sum(map(len, more.values()))} violations', flush=True)
        for name, sentences in more.items():
            found.setdefault(name, []).extend(sentences)
        for name, value in numbers.items():
            totals[name] = totals.get(name, 0) + value
    return found, totals


def cuts_of_one(n, seed, seconds, starts):
    r = random.Random(seed)
    recorder, found, world = Recorder(), {}, None
    numbers = {}
    try:
        world, stamps = record(seed, seconds, recorder)
        recorder.stop()
        entries = list(log_entries(recorder.log))
        ledger = read_ledger(world.d.path('data', 'ledger'))
        truth = Truth(world.history.entries, ledger, stamps)
        # an even spread; and the end, where records are all that is told of some
        points = sorted([r.randrange(len(entries)) for _ in range(n - n // 5)] + [r.randrange(max(0, len(entries) - 40), len(entries)) for _ in range(n // 5)])
        with_daemon = set(r.sample(range(n), starts))
        fake_boot = os.path.join(recorder.dir, 'boot_id')
        with open(fake_boot, 'w') as f:
            f.write('01234567-89ab-cdef-0123-456789abcdef\n')
        numbers = {'entries in the log': len(entries), 'flushes': sum(bool(e[1] & FLUSH) for e in entries), 'facts': len(truth.facts),
                   'records': sum(f[1] == 'recorded' for f in truth.facts),
                   'states with unflushed writes': 0, 'daemons started': starts}
        found = play(recorder, world, entries, points, truth, r, with_daemon, fake_boot, numbers)
    finally:
        if world:
            world.close()
        recorder.remove()
    if not found and numbers['facts'] < n // 100:
        found['the campaign itself'] = [f'only {numbers["facts"]} facts']
    return found, numbers


def copy(source, target):
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError:
        if os.path.exists(target):
            os.unlink(target)


def play(recorder, world, entries, points, truth, r, with_daemon, fake_boot, numbers):
    found = {}
    crash, point = os.path.join(recorder.dir, 'crash'), os.path.join('/tmp', f'power-{os.getpid()}')
    looked_at = os.path.join(recorder.dir, 'db')         # a copy, since opening it changes it
    playback, at = Playback(recorder.before), 0
    os.mkdir(point)
    with open(crash, 'w+b') as f:
        f.truncate(SIZE)
        disk = mmap.mmap(f.fileno(), SIZE)
    playback.write_crash(disk, r)
    loop = loop_attach(crash)
    checked = 0
    try:
        for k, wanted in enumerate(points):
            while at <= wanted:
                end, flags, offset, data = entries[at]
                playback.take(flags, offset, data)
                at += 1
            numbers['states with unflushed writes'] += bool(playback.pending)
            truth.advance(end)
            playback.write_crash(disk, r)
            try:
                # read-only: the journal is replayed all the same
                mount(loop, point, 0 if k in with_daemon else MS_RDONLY)
            except OSError as e:
                found.setdefault('the file system survives', []).append(f'entry {wanted}: {e}')
                continue
            try:
                database = os.path.join(point, 'jobbers.db')
                complaints = []
                if os.path.exists(database) and os.path.getsize(database):
                    for suffix in ('', '-wal'):
                        copy(database + suffix, looked_at + suffix)
                    tasks, complaint = tasks_of(looked_at, k % 10 == 0)
                    if complaint:
                        complaints.append(f'database: {complaint}')
                    checked += len(truth.there)
                    complaints += truth.against(tasks)
                elif truth.there:
                    complaints.append('there is no database')
                complaints += truth.records_in(os.path.join(point, 'records'))
                # before the first promise the directory may not even be ours yet
                if k in with_daemon and not complaints and truth.there:
                    complaints = start_on(world, point, truth, fake_boot)
                if complaints:
                    found.setdefault('what was told survives a power cut', []).extend(f'entry {wanted} of {len(entries)}: {c}' for c in complaints)
            finally:
                until(lambda: not unmount_fails(point), 'the disk is free')
            if sum(map(len, found.values())) > 200:
                break
    finally:
        loop_detach(loop)
        os.rmdir(point)
    numbers['acknowledged tasks looked up'] = checked
    return found
