"""What a task says to jobbers, in Python: copy this file next to your own executables.

Nothing here is needed to be a task: parameters come on standard input, the result goes to the file that JOBBERS_RESULT names, and
heartbeats are datagrams to the socket that NOTIFY_SOCKET names. Without jobbers (started from a shell) all of it does no harm.
"""
import json
import os
import socket
import sys

EX_TEMPFAIL = 75  # "try again later", as in sysexits.h


def parameters():
    """The JSON object that was submitted with the task."""
    return json.load(sys.stdin)


def notify(*lines):
    """Sends sd_notify lines ("WATCHDOG=1", "STATUS=…"). A socket that is full or gone never fails the work itself."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as s:
            s.sendto("\n".join(lines).encode(), address)
    except OSError as e:
        print(f"cannot send a heartbeat: {e}", file=sys.stderr)


def beat(percent, status):
    """A heartbeat, with how far the work is. Call it more often than MaxHeartbeatIntervalSec."""
    notify("WATCHDOG=1", f"X_JOBBERS_PROGRESS={int(percent)}", f"STATUS={status}")


def _write_result(value):
    path = os.environ.get("JOBBERS_RESULT")
    text = json.dumps(value, ensure_ascii=False)
    if not path:
        print(text)
        return
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def succeed(**result):
    """Ends the task as completed with this result."""
    _write_result(result)
    sys.exit(0)


def fail(error_type, message, status=1):
    """Ends the task as failed. It is tried again when the status or the error type is listed in RetryOn=."""
    _write_result({"error": {"type": error_type, "message": message}})
    print(message, file=sys.stderr)
    sys.exit(status)


def directory(*names):
    """A folder under EXAMPLES_DIR (by default ~/jobbers-examples), made when it is missing."""
    base = os.environ.get("EXAMPLES_DIR") or os.path.expanduser("~/jobbers-examples")
    path = os.path.join(base, *names)
    try:
        os.makedirs(path, mode=0o750, exist_ok=True)
    except OSError as e:
        fail("OutputDirectory", f"cannot make {path}: {e.strerror}; set EXAMPLES_DIR with Environment= in the definition")
    return path
