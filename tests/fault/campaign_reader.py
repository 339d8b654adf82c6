"""campaign_reader.py: a reader that asks for a long list and does not take it, and one that walks through all pages slowly, while tasks pass by the
thousand: the log of the database does not grow with them, nor does the daemon, and the pages have neither gap nor repeat."""
import os
import socket
import threading
import time

from driver import World

WAL_MOST = 72 << 20             # journal_size_limit is 64 MiB
BATCH = 500


class Walker(threading.Thread):
    """All pages, from the first to the last, again and again. The tasks that were there at the beginning must be in each walk once."""

    def __init__(self, world, there):
        super().__init__(daemon=True)
        self.world, self.there, self.enough, self.walks, self.problems = world, set(there), threading.Event(), 0, []

    def run(self):
        from harness import Client
        client = Client(self.world.d.path('s'))
        while not self.enough.is_set():
            seen, cursor = [], {}
            while True:
                page = client.ask('GET', '/task-list', limit=100, **cursor).json
                seen += [t['id'] for t in page['tasks']]
                if 'next' not in page:
                    break
                cursor = {'cursor': page['next']}
                if self.enough.wait(0.002):
                    return
            self.walks += 1
            if len(seen) != len(set(seen)):
                self.problems.append(f'{len(seen) - len(set(seen))} tasks were listed twice in one walk')
            missing = self.there - set(seen)
            if missing:
                self.problems.append(f'{len(missing)} tasks that were there all the time were not listed, {min(missing)} is one')


def stuck_reader(world):
    """Asks for a list that no socket holds, and reads nothing."""
    s = socket.socket(socket.AF_UNIX)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(world.d.path('s'))
    s.sendall(b'GET /task-list?limit=1000 HTTP/1.1\r\nHost: x\r\n\r\n')
    return s


def hold(n, seed):
    world = World(seed, slots=16, log_level='err')
    wal, stuck, walker, passed = 0, [], None, 0
    begin = {}
    try:
        there = world.submit('short', 1000)
        world.settle()
        begin = world.sample()
        stuck = [stuck_reader(world) for _ in range(3)]
        walker = Walker(world, there)
        walker.start()
        path = world.d.path('state', 'jobbers.db-wal')
        while passed < n:
            some = min(BATCH, n - passed)
            ids = world.submit('short', some, patience=60)
            world.d.get(f'/task-status/{ids[-1]}', wait=30)
            passed += some
            wal = max(wal, os.path.getsize(path))
            if passed % (10 * BATCH) == 0:
                # those who waited too long have been sent away: others come
                for s in stuck:
                    s.close()
                stuck = [stuck_reader(world) for _ in range(3)]
        walker.enough.set()
        walker.join(60)
        world.problems += walker.problems
        if wal > WAL_MOST:
            world.problems.append(f'the log of the database grew to {wal >> 20} MiB')
        for s in stuck:
            s.close()
        world.settle(600)
        rss = world.sample()['daemon memory KiB']
        # 1000 of a list of tasks and a page cache of 8 MB may come to it, but not the tasks that passed
        if rss > begin['daemon memory KiB'] + 40000:
            world.problems.append(f'the daemon grew from {begin["daemon memory KiB"]} to {rss} KiB')
    except (AssertionError, IndexError) as e:
        world.problems.append(repr(e)[-3000:])
    time.sleep(0.1)
    found, numbers = world.finish()
    numbers.update({'MiB of log at most': wal >> 20, 'walks through all pages': walker.walks if walker else 0})
    return found, numbers
