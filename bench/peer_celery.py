"""peer_celery.py: the task for Celery's workers, and with a number as argument, a client: N tasks, waits for all results, prints tasks a second."""
import os
import subprocess
import sys
import time

from celery import Celery, group

app = Celery('peer_celery', broker=os.environ['PEER_REDIS'], backend=os.environ['PEER_REDIS'])
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=4)


@app.task(name='noop')
def noop():
    return subprocess.call(['/bin/true'])


if __name__ == '__main__':
    n = int(sys.argv[1])
    begin = time.monotonic()
    if group(noop.s() for _ in range(n)).apply_async().get(timeout=280) != [0] * n:
        sys.exit('a task failed')
    print(n / (time.monotonic() - begin))
