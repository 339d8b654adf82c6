"""campaign_kill.py: kill -9 of the daemon, of its launcher, of supervisors, and of any two of them, at random moments under load."""
import time

from driver import World

PER_ROUND = 100
PAIRS = (('daemon', 'launcher'), ('daemon', 'supervisor'), ('launcher', 'supervisor'), ('supervisor', 'supervisor'))


def blows(world, kills, victims, pause):
    r, waiting = world.random, False
    for k in range(1, kills + 1):
        # Random moments are the point here: some hit the start itself.
        time.sleep(r.uniform(*pause))
        gone = world.kill(victims(r))
        if gone and k % 5 and k < kills:
            world.d.spawn()
            waiting = True
        elif gone:
            world.d.start()
            waiting = False
    if waiting:
        assert world.d.notifications.wait('READY=1', world.d.pidfd), world.d.log()[-3000:]


def rounds(n, seed, victims, pause=(0.01, 0.35), mode=None):
    """Worlds of at most PER_ROUND kills each, until `n` were made; (violations, numbers)."""
    done, everything, totals = 0, {}, {}
    while done < n:
        world = World(f'{seed}.{done}', mode)
        world.load()
        kills = min(PER_ROUND, n - done)
        try:
            blows(world, kills, victims, pause)
        except AssertionError as e:
            world.problems.append(str(e)[-3000:])
        done += kills
        found, numbers = world.finish()
        for name, sentences in found.items():
            everything.setdefault(name, []).extend(sentences)
        for name, value in numbers.items():
            totals[name] = totals.get(name, 0) + value
    return everything, totals


def daemon(n, seed, mode=None):
    return rounds(n, seed, lambda r: ('daemon',), mode=mode)


def launcher(n, seed, mode=None):
    return rounds(n, seed, lambda r: ('launcher',), mode=mode)


def supervisor(n, seed, mode=None):
    return rounds(n, seed, lambda r: ('supervisor',), pause=(0.005, 0.1), mode=mode)


def pairs(n, seed, mode=None):
    return rounds(n, seed, lambda r: r.choice(PAIRS), mode=mode)


def mixed(n, seed, mode=None):
    """The short form: all of it."""
    return rounds(n, seed, lambda r: r.choice(PAIRS + (('daemon',), ('daemon',), ('launcher',), ('supervisor',), ('supervisor',))), mode=mode)
