"""The sentences on who can reach what: a compromised daemon, and a hostile task."""
import pytest

# Speaks to the launcher as a daemon in wrong hands would: it has the daemon's uid and its socket, and makes up its requests.
ROGUE = r"""
import os, socket, struct, sys
HELLO, START, SIGNAL, KILL, FORGET, SLICE = range(6)

def request(verb, name=b"", queue=b"default", version=1, definition_hash=0, signal=0, task=bytes(16)):
    q = struct.pack("=II", verb, 7) + task + struct.pack("=II", 1, 0) + name.ljust(65, b"\0") + queue.ljust(65, b"\0")
    q += b"\0" * (-len(q) % 4) + struct.pack("=I", version)
    q += b"\0" * (-len(q) % 8) + struct.pack("=Qi", definition_hash, signal)
    return q + b"\0" * (-len(q) % 8) + struct.pack("=QQQQ", 2**64 - 1, 2**64 - 1, 0, 0)

def answer():
    return struct.unpack("=IIiIIi256s", s.recv(4096))

s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect("/run/jobbers/launcher.sock")
s.settimeout(20)
hello = answer()
assert hello[0] == HELLO, hello
parameters = os.memfd_create("p")
os.write(parameters, b"{}")
for name, h in ((b"ok", 1), (b"no-such-task", 1), (b"/bin/sh", 1), (b"../../bin/sh", 1), (b"", 1)):
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mine.send(b"GO=1\n")
    socket.send_fds(s, [request(START, name, definition_hash=h, task=os.urandom(16))], [parameters, theirs.fileno()])
    theirs.close()
    a = answer()
    assert a[0] == START and a[2] < 0, a
    print(name.decode(), os.strerror(-a[2]))
# Attempts that are not there: nothing to signal, to kill or to remove.
for verb in (SIGNAL, KILL, FORGET):
    s.send(request(verb, signal=9, task=os.urandom(16)))
    print(verb, answer()[2])
# What is no request at all.
s.send(b"x" * 5000)
s.send(b"")
print("survived")
"""


def test_a_compromised_daemon_starts_registered_tasks_and_nothing_else(machine):
    machine.define("ok", "exit 0")
    machine.sh("systemctl stop jobbersd.socket jobbersd.service")
    try:
        before = machine.sh("find / -xdev -newer /proc/1/stat -uid 0 -type f -path '/etc/*' | wc -l")
        said = machine.sh("runuser -u jobbers -- python3 -", stdin=ROGUE)
        # The hash is not the definition's, the task is not registered, the name is none: refused as such and not by accident.
        assert said.splitlines() == ["ok Stale file handle", "no-such-task Stale file handle", "/bin/sh Invalid argument",
                                     "../../bin/sh Invalid argument", " Invalid argument", *said.splitlines()[5:8], "survived"], said
        assert machine.pids_of("[/]bin/sh -c rogue") == []
        assert machine.sh("find / -xdev -newer /proc/1/stat -uid 0 -type f -path '/etc/*' | wc -l") == before
        # Its uid alone opens nothing that is root's.
        for path in ("/etc/shadow", "/run/jobbers/new", "/usr/lib/jobbers/tasks.d/new.task", "/etc/jobbers/tasks.d/new.task"):
            status, _ = machine.sh(f"runuser -u jobbers -- sh -c 'echo x >>{path}'", check=False)
            assert status != 0, path
    finally:
        machine.sh("systemctl start jobbersd.socket jobbersd.service")
    assert machine.run("ok")["status"] == "completed"


def test_others_cannot_use_the_launcher(machine):
    for user in ("alice", "jobbers-task"):
        status, _ = machine.sh(f"runuser -u {user} -- python3 -", stdin=ROGUE, check=False)
        assert status != 0


def test_a_task_reaches_nothing_of_others(machine):
    machine.define("other", 'echo \'{"secret": 1}\' >$JOBBERS_RESULT; sleep 600', User="alice")
    other = machine.submit("other")
    machine.started(other)
    machine.wait(f"[ -s /run/jobbers/attempts/{other}.1/work/result ]")
    pid = machine.sh("systemctl show -p MainPID --value jobbersd")
    machine.define("thief", f"""
        fail() {{ echo "reached: $*"; echo '{{"error": {{"type": "Reached", "message": "'"$*"'"}}}}' >$JOBBERS_RESULT; exit 1; }}
        for f in /var/lib/jobbers/jobbers.db /etc/jobbers/token /run/jobbers/attempts/{other}.1/work/result \\
                 /run/jobbers/attempts/{other}.1/work/parameters /proc/{pid}/environ /proc/{pid}/mem; do
                cat $f >/dev/null 2>&1 && fail "read $f"
        done
        for d in /var/lib/jobbers /var/lib/jobbers/records /run/jobbers/records /run/jobbers/attempts/{other}.1/work; do
                ls $d >/dev/null 2>&1 && fail "list $d"
        done
        for d in /run/jobbers /run/jobbers/attempts /run/jobbers/attempts/{other}.1 /etc/jobbers /var/lib/jobbers /usr/libexec/jobbers \\
                 /sys/fs/cgroup /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup) /sys/fs/cgroup$(dirname $(cut -d: -f3 /proc/self/cgroup)); do
                touch $d/x 2>/dev/null && fail "write into $d"
        done
        echo $$ 2>/dev/null >/sys/fs/cgroup/cgroup.procs && fail "leave the cgroup"
        kill -0 {pid} 2>/dev/null && fail "signal the daemon"
        kill -0 $PPID 2>/dev/null && fail "signal the supervisor"
        for s in jobbers.sock launcher.sock attempts/{other}.1/control attempts/{other}.1/notify; do
                python3 - /run/jobbers/$s <<'END' && fail "connect to $s"
import socket, sys
for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
    try:
        socket.socket(socket.AF_UNIX, kind).connect(sys.argv[1])
        sys.exit(0)
    except OSError:
        pass
sys.exit(1)
END
        done
        # Its own control socket is the supervisor's, and only the daemon is heard there.
        [ "$(id -Gn)" = jobbers-task ] || fail "groups: $(id -Gn)"
        [ "$(ls /proc/self/fd | wc -l)" -le 4 ] || fail "descriptors: $(ls -l /proc/self/fd)"
        sudo -n true 2>/dev/null && fail sudo
        exit 0""")
    record = machine.run("thief")
    assert record["status"] == "completed", record
    machine.call("POST", f"/task/{other}/cancel")
    machine.final(other)


@pytest.mark.parametrize("name, script", [
    ("link", "ln -s /etc/shadow $JOBBERS_RESULT"),
    ("linktoownfile", "echo '{}' >~/own.json; ln -s ~/own.json $JOBBERS_RESULT"),
    ("fifo", "mkfifo $JOBBERS_RESULT"),
    ("directory", "mkdir $JOBBERS_RESULT"),
    ("socket", "python3 -c 'import os, socket; os.chdir(os.path.dirname(os.environ[\"JOBBERS_RESULT\"])); "
               "socket.socket(socket.AF_UNIX).bind(\"result\")'"),
    ("device", "ln -s /dev/zero $JOBBERS_RESULT"),
    ("nojson", "echo not json >$JOBBERS_RESULT"),
    ("list", "echo '[1]' >$JOBBERS_RESULT"),
    ("large", "head -c 2000000 /dev/zero | tr '\\0' ' ' >$JOBBERS_RESULT"),
    ("sparse", "truncate -s 100G $JOBBERS_RESULT"),
    ("depth", "python3 -c 'print(\"{\\\"a\\\":\" + \"[\" * 100000 + \"]\" * 100000 + \"}\")' >$JOBBERS_RESULT"),
    ("moved", "d=$(dirname $JOBBERS_RESULT); mv $d $d.x 2>/dev/null; rm -rf $d/* 2>/dev/null; ln -s /etc $d/result"),
])
def test_the_result_path_is_hostile(machine, name, script):
    """Exit 0 with something that is no result is a failure that says so, at once, and nothing of others comes out."""
    machine.define(f"result-{name}", f"umask 0; {script}; exit 0")
    record = machine.final(machine.submit(f"result-{name}"))
    assert record["status"] == "failed" and "result" in record["last_error"], record
    assert record["results"] == {} and "root:" not in str(record)


def test_a_foreign_file_is_no_result(machine):
    """A file of another owner that the task can link to: refused by its owner even where the kernel allows the link."""
    machine.sh("sysctl -qw fs.protected_hardlinks=0")
    machine.sh("install -d -m 1777 /run/jobbers-test; install -m 0666 /dev/stdin /run/jobbers-test/foreign", stdin='{"stolen": 1}')
    machine.define("hardlink", "cd $(dirname $JOBBERS_RESULT) && ln /run/jobbers-test/foreign result || { echo no link; exit 3; }")
    try:
        record = machine.run("hardlink")
    finally:
        machine.sh("sysctl -qw fs.protected_hardlinks=1; rm -r /run/jobbers-test")
    assert record["status"] == "failed" and record["results"] == {}, record
    assert record["attempts"][-1]["exit_status"] == 0, record


def test_a_result_that_changes_while_it_is_taken(machine):
    """A process left behind swaps result and link as fast as it can; it is killed first, so there is nothing to race with."""
    machine.define("racer", """cd $(dirname $JOBBERS_RESULT); echo '{"a": 1}' >good; ln -s /etc/shadow bad
        setsid python3 -c 'import os
while True:
    os.rename("good", "result"); os.rename("result", "good"); os.rename("bad", "result"); os.rename("result", "bad")' </dev/null >/dev/null 2>&1 &
        sleep 0.5; exit 0""", KillGraceSec=0)
    for _ in range(5):
        record = machine.run("racer")
        assert "root:" not in str(record)
        assert record["results"] in ({}, {"a": 1})


def test_unsafe_definitions_are_refused(machine):
    machine.sh("install -d -o alice /home/alice/bin && install -o alice -m 0755 /dev/stdin /home/alice/bin/x", stdin="#!/bin/sh\nexit 0\n")
    for name, text in (("theirs", "ExecStart=/home/alice/bin/x"),):
        machine.write(f"/etc/jobbers/tasks.d/{name}.task", f"[Task]\nName={name}\nVersion=1\n{text}\n")
    machine.write("/etc/jobbers/tasks.d/loose.task", "[Task]\nName=loose\nVersion=1\nExecStart=/bin/true\n", "0666")
    machine.sh("systemctl reload jobbersd")
    try:
        assert machine.call("GET", "/definitions/loose/1")[0] == 404
        assert machine.call("POST", "/submit-task", {"name": "loose", "version": 1})[0] == 400
        assert machine.call("GET", "/definitions/theirs/1")[0] == 404
    finally:
        machine.sh("rm /etc/jobbers/tasks.d/loose.task /etc/jobbers/tasks.d/theirs.task; systemctl reload jobbersd")
