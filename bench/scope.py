"""scope.py: attempts in transient scopes, which need a systemd as PID 1."""
from measure import Measurement, NotInstalled


class Scope(Measurement):
    title = 'no-op tasks in scopes, 8 in flight'
    unit = 'tasks/s'
    limit_name = 'bare scope client'
    floor, goal = 0.80, 0.90
    slow = True

    def setup(self):
        raise NotInstalled('systemd-nspawn')


ALL = [Scope]
