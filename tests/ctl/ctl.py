"""jobbersctl as a test calls it: without a terminal, over the daemon's Unix socket."""
import json
import os
import subprocess

from harness import PROGRAMS

JOBBERSCTL = os.path.join(PROGRAMS, 'jobbersctl')
PATIENCE = 60


class Ctl:
    def __init__(self, daemon=None, **environment):
        self.daemon = daemon
        self.environment = {'PATH': '/usr/bin:/bin', 'LC_ALL': 'C.UTF-8', 'HOME': '/nonexistent', **environment}
        for name in ('ASAN_OPTIONS', 'UBSAN_OPTIONS', 'LLVM_PROFILE_FILE', 'GCOV_PREFIX', 'GCOV_PREFIX_STRIP'):
            if name in os.environ:
                self.environment[name] = os.environ[name]
        if daemon:
            self.environment.setdefault('JOBBERS_SOCKET', daemon.path('s'))

    def popen(self, *words, **how):
        how.setdefault('stdin', subprocess.DEVNULL)
        return subprocess.Popen([JOBBERSCTL, *words], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how)

    def all(self, *words, input=None, prefix=()):
        """Status, output, errors."""
        r = subprocess.run([*prefix, JOBBERSCTL, *words], env=self.environment, capture_output=True, text=True, timeout=PATIENCE,
                           **({'input': input} if input is not None else {'stdin': subprocess.DEVNULL}))
        assert 'Sanitizer' not in r.stderr and 'runtime error:' not in r.stderr, r.stderr
        return r.returncode, r.stdout, r.stderr

    def __call__(self, *words, status=0, errors='', **how):
        """The output; asserts the status, and that nothing else was said."""
        got, out, err = self.all(*words, **how)
        assert (got, err) == (status, errors), f'jobbersctl {" ".join(words)}: status {got}\n{out}\n{err}'
        return out

    def json(self, *words, **how):
        return json.loads(self(*words, '--json=short', **how))

    def refused(self, *words, status=1, **how):
        """What it complains about: one line, and nothing on standard output."""
        got, out, err = self.all(*words, **how)
        assert got == status and out == '', f'jobbersctl {" ".join(words)}: status {got}\n{out}\n{err}'
        assert err.count('\n') == 1, err
        return err.rstrip('\n')

    def submit(self, *words):
        return self('submit', *words).strip()
