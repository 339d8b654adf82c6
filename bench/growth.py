"""growth.py: what an operation costs with a million tasks queued, over what it costs with a thousand."""
import statistics
import time

from measure import BenchDaemon, Measurement

SMALL = 1000


class Pair:
    """Two daemons, one with few and one with many tasks waiting in a queue that is paused."""

    def __init__(self, context):
        self.large = context.scale(1000000, 100000)
        self.daemons = []
        for n in (SMALL, self.large):
            d = BenchDaemon()
            d.put('/queues/crowd', {'max_concurrent': None})
            d.put('/roles/default', ['default', 'crowd'])
            d.post('/queues/crowd/pause')
            body = {'tasks': [{'name': 'noop', 'version': 1, 'queue': 'crowd'}] * 1000}
            some = None
            for i in range(n // 1000):
                answer = d.post('/submit-tasks', body)
                some = some or answer['tasks'][0]['id']
            self.daemons.append((d, some))

    def close(self):
        for d, _ in self.daemons:
            d.close(check=False)


class Growth(Measurement):
    limit_name = '10³ queued'
    unit = 'µs'
    better = 'less'
    floor, goal = 1.4, 1.1
    pair = None

    def setup(self):
        if not Growth.pair:
            Growth.pair = Pair(self.c)
        if self.c.quick:
            self.title = self.title.replace('10⁶', '10⁵')

    def operation(self, d, some):
        raise NotImplementedError

    def once(self):
        """The two in turn, many times; the medians."""
        times = ([], [])
        for _ in range(self.c.scale(150, 60)):
            for i in (1, 0):
                begin = time.perf_counter()
                self.operation(*Growth.pair.daemons[i])
                times[i].append((time.perf_counter() - begin) * 1e6)
        return statistics.median(times[1]), statistics.median(times[0])

    def close(self):
        if Growth.pair:
            Growth.pair.close()
            Growth.pair = None


class Claim(Growth):
    """The whole way of a task that is before all others in the crowded queue: submit, claim, run, result."""
    title = 'claim and run a task, 10⁶ queued'

    def setup(self):
        super().setup()
        for d, _ in Growth.pair.daemons:
            d.put('/queues/crowd', {'max_concurrent': 1})

    def operation(self, d, some):
        task = d.post('/submit-task', {'name': 'noop', 'version': 1})['task']['id']
        d.wait_final(task)


class Submit(Growth):
    title = 'submit a task, 10⁶ queued'

    def operation(self, d, some):
        d.post('/submit-task', {'name': 'noop', 'version': 1, 'queue': 'crowd'})


class Status(Growth):
    title = 'status of a task, 10⁶ queued'

    def operation(self, d, some):
        d.get(f'/task-status/{some}')


class List(Growth):
    title = 'first page of a list, 10⁶ queued'

    def operation(self, d, some):
        d.get('/task-list?queue=crowd&status=submitted')


ALL = [Claim, Submit, Status, List]
