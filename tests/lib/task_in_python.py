#!/usr/bin/python3
"""A task in Python for tests/lib/test_python.py; its parameter "do" says what it does. `from jobbers import task` is the installed module."""
import asyncio
import os
import subprocess
import sys

from jobbers import Stopped, task


class Busy(Exception):
    """Something that passes."""


class VeryBusy(Busy):
    pass


def say(word):
    with open(os.environ["BOX"], "w") as f:
        f.write(f"{word}\n")


def wait_for_ever():
    with open(os.environ["GATE"]) as f:
        f.readline()


async def wait_together():
    try:
        say("waiting")
        await asyncio.sleep(3600)
    finally:
        say("cancelled")


def main(do="facts", **given):
    if do == "facts":
        return {"id": task.id, "name": task.name, "queue": task.queue, "version": task.version, "attempt": task.attempt,
                "retry_attempt": task.retry_attempt, "interval": task.heartbeat_interval, "given": given}
    if do == "beat":
        for i in range(1001):
            task.heartbeat()
            task.progress(i / 10, f"step {i}")
        task.status("all\ndone")
        return {"ä": "\ud83d"} if given.get("surrogate") else None
    if do == "child":
        program = "from jobbers import task; task.progress(42, 'said by a child'); task.flush(10)"
        subprocess.run([sys.executable, "-c", program], check=True)
    elif do == "raise":
        raise KeyError("nosuch")
    elif do == "busy":
        raise VeryBusy("try again")
    elif do == "nothing":
        raise Busy
    elif do == "fail":
        task.fail("NoSource", "there is no source")
    elif do == "retry":
        if task.retry_attempt == 0:
            task.retry("busy")
        task.result(first=1)
        task.result({"retry": task.retry_attempt}, n=2)
    elif do == "list":
        return [1]
    elif do == "nan":
        return {"x": float("nan")}
    elif do == "hold":
        try:
            say("waiting")
            wait_for_ever()
        except Exception:
            say("swallowed")
        except Stopped:
            say("cleaned")
            task.status("cleaned up")
            raise
    elif do == "together":
        return wait_together()
    elif do == "extend":
        task.extend_timeout(60)
        subprocess.run(["sleep", "2"], check=True)
    return None


if __name__ == "__main__":
    task.run(main, retry_on=(Busy,))
