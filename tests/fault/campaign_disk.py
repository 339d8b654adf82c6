"""campaign_disk.py: a state directory on a disk of a few MiB that is really full, again and again, under load: with and without a kill -9 or a
start meanwhile. The daemon lives on, says 507, records what ran, and goes on by itself once there is space."""
import os
import shutil
import subprocess
import time

from driver import World

PER_WORLD = 10
MIB = 1 << 20


class Disk:
    """A small file system for a world's state directory: a tmpfs, or ext4 in a file. Mounted in our own mount namespace."""

    def __init__(self, kind, size):
        self.kind, self.size, self.path, self.image = kind, size, None, None

    def mount(self, world):
        self.path = world.d.path('state')
        os.mkdir(self.path, 0o700)
        if self.kind == 'tmpfs':
            subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={self.size}', 'tmpfs', self.path], check=True)
        else:
            self.image = world.d.path('disk')
            with open(self.image, 'wb') as f:
                f.truncate(self.size)
            subprocess.run(['mkfs.ext4', '-q', '-m', '0', '-J', 'size=1', self.image], check=True)
            subprocess.run(['mount', '-o', 'loop', self.image, self.path], check=True)
        os.chmod(self.path, 0o700)
        import pwd
        uid, gid = pwd.getpwnam('jobbers')[2:4] if world.d.mode == 'system' else (world.d.uid, world.d.uid)
        os.chown(self.path, uid, gid)

    def space(self):
        st = os.statvfs(self.path)
        return st.f_bavail * st.f_frsize

    def fill(self, leave):
        """A file that takes all but about `leave` bytes."""
        with open(os.path.join(self.path, 'filler'), 'ab', buffering=0) as f:
            try:
                while self.space() > leave:
                    f.write(bytes(min(64 << 10, max(4096, self.space() - leave))))
                os.fsync(f.fileno())
            except OSError:
                pass

    def free(self):
        try:
            os.unlink(os.path.join(self.path, 'filler'))
        except FileNotFoundError:
            pass

    def umount(self):
        subprocess.run(['umount', '-l', self.path], check=False)


def accepted_again(world, what):
    """With space again a submission is taken within seconds, by itself."""
    t0 = time.monotonic()
    if not world.submit('short', patience=15):
        world.problems.append(f'{what}: nothing is accepted {time.monotonic() - t0:.0f} s after there is space again')


def run(world, disk, numbers):
    """One filling and freeing."""
    r = world.random
    how = r.choice(('plain', 'plain', 'plain', 'to the last byte', 'killed', 'started'))
    disk.fill(0 if how == 'to the last byte' else r.randrange(256 << 10))
    deadline = time.monotonic() + r.uniform(0.3, 2.5)
    numbers[how] = numbers.get(how, 0) + 1
    while time.monotonic() < deadline:
        if how == 'to the last byte':
            disk.fill(0)                # whatever was given up is taken as well
        time.sleep(0.05)
    if how in ('killed', 'started'):
        world.kill(('daemon',))
        if how == 'killed':
            disk.free()
        world.d.start()
        time.sleep(r.uniform(0, 0.5))
    if not world.d.process or world.d.process.poll() is not None:
        world.problems.append(f'{how}: the full disk ended the daemon: {world.d.log()[-1500:]}')
        world.d.reap()
        world.d.start()
    disk.free()
    accepted_again(world, how)


def full(n, seed, mode=None):
    found, totals, done = {}, {}, 0
    while done < n:
        some = min(PER_WORLD, n - done)
        disk = Disk(('ext4', 'tmpfs')[(done // PER_WORLD) % 2], 14 * MIB)
        world = World(f'{seed}.{done}', mode, before_start=disk.mount)
        numbers = {}
        try:
            world.load(2, pause=0.05)
            for _ in range(some):
                time.sleep(world.random.uniform(0.1, 0.6))
                run(world, disk, numbers)
        except AssertionError as e:
            world.problems.append(str(e)[-3000:])
            disk.free()
        done += some
        refused = sum(h.get('code') == 507 for h in world.history.entries)
        numbers['507'] = refused
        more, facts = world.finish()
        disk.umount()
        shutil.rmtree(world.d.tmp, ignore_errors=True)
        for name, sentences in more.items():
            found.setdefault(name, []).extend(f'[{disk.kind}] {s}' for s in sentences)
        for name, value in {**facts, **numbers}.items():
            totals[name] = totals.get(name, 0) + value
    if not found and totals.get('507', 0) < n // 4:
        found['the campaign itself'] = [f'only {totals.get("507")} answers 507: the disk was hardly ever full']
    return found, totals
