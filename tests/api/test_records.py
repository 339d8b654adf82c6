"""Where exit records lie: in memory for a daemon to take, on disk when there is none."""
import os
import subprocess

import pytest

from run_harness import FORGET, RUN, Launcher, Listening, alive, until
from test_run import fill, free, launcher, make, small      # noqa: F401  (fixtures)


def connected(launcher):
    """As a service, with a daemon."""
    service = Listening(launcher)
    assert service.connect().verb == 0
    return service


def run_until(launcher, start, status=0):
    """A task that runs until it is let go: what start() gave, the attempt, and what lets it go."""
    launcher.define('held', f'echo up >@BOX@; read -r x <@TMP@/gate; exit {status}')
    gate = os.path.join(launcher.tmp, 'gate')
    os.mkfifo(gate)
    os.chmod(gate, 0o666)
    service = start(launcher)
    a = launcher.run('held')
    assert launcher.line() == 'up'

    def let_go():
        with open(gate, 'w') as f:
            f.write('go\n')
    return service, a, let_go


def test_a_record_of_a_moment_later_is_saved(launcher):
    """The connection to the launcher is the first that a dying daemon closes; END still finds its channel open."""
    service, a, open_gate = run_until(launcher, connected)
    launcher.sock.close()
    open_gate()
    assert a.end() is not None
    a.hang_up()
    until(lambda: os.path.exists(a.saved_path), 'it is saved')
    # the next daemon has both forgotten
    service.connect()
    assert launcher.ask(FORGET, a).result == 0
    assert a.traces() == []
    service.close()


def test_a_launcher_saves_what_the_one_before_left(launcher):
    launcher.define('ok', 'exit 0')
    service = connected(launcher)
    a = launcher.run('ok')
    a.end()
    service.process.kill()
    service.process.wait()
    a.hang_up()
    launcher.sock.close()
    os.unlink(service.path)
    service = Listening(launcher)
    until(lambda: os.path.exists(a.saved_path), 'it is saved')
    service.connect()
    assert launcher.ask(FORGET, a).result == 0
    service.close()


def test_a_full_disk_holds_nobody_up(small):
    """What is in memory is saved by the launcher, when there is space; a supervisor of a launcher that lives does not wait for that."""
    service, a, open_gate = run_until(small, connected, 4)
    supervisor = a.supervisor()
    fill(small, 'disk')
    a.hang_up()
    small.sock.close()
    open_gate()
    until(lambda: not alive(supervisor), 'the supervisor is gone')
    assert os.path.exists(a.record_path) and a.record()['EXIT_STATUS'] == '4' and not os.path.exists(a.saved_path)
    assert 'its exit record is in memory alone' in small.log()
    free(small, 'disk')
    until(lambda: os.path.exists(a.saved_path), 'it is saved', 15)
    service.connect()
    assert small.ask(FORGET, a).result == 0
    assert a.traces() == []
    service.close()


@pytest.mark.parametrize('taken', [False, True])
def test_a_full_disk_without_a_launcher(small, taken):
    """Nobody else is there to do it: its supervisor tries again, until it is saved, or a daemon has taken it."""
    _, a, open_gate = run_until(small, Launcher.start, 4)
    supervisor = a.supervisor()
    fill(small, 'disk')
    a.hang_up()
    assert small.leave() == 0
    open_gate()
    until(lambda: 'its exit record is in memory alone' in small.log(), 'it says that it waits')
    assert alive(supervisor) and a.record()['EXIT_STATUS'] == '4'
    if taken:
        os.unlink(a.record_path)
    else:
        free(small, 'disk')
    until(lambda: not alive(supervisor), 'it is gone')
    assert os.path.exists(a.saved_path) == (not taken)


@pytest.mark.skipif(os.geteuid() != 0, reason='only root has anything in /dev/shm')
def test_the_terminal_keeps_to_itself(launcher):
    """Its directories are its own, wherever those of the daemon are."""
    launcher.define('large', 'echo "{\\"x\\": \\"$(head -c 20000 /dev/zero | tr "\\0" x)\\"}" >"$JOBBERS_RESULT"')
    tasks = next(f for f in launcher.flags if f.startswith('--task'))
    before = sorted(os.listdir('/dev/shm'))
    r = subprocess.run([RUN, tasks, 'large'], capture_output=True, text=True, env=launcher.env)
    assert r.returncode == 0 and 'x' * 20000 in r.stdout, r
    assert sorted(os.listdir('/dev/shm')) == before


def test_what_somebody_was_writing_is_removed(launcher):
    launcher.define('ok', 'exit 0')
    launcher.start()
    half = os.path.join(launcher.saved_dir, '.new-0123456789abcdef')
    open(half, 'w').close()
    assert launcher.leave() == 0
    launcher.start()
    assert os.listdir(launcher.saved_dir) == []
