"""The example tasks as jobbers runs them: parameters on standard input, the result in a file, heartbeats to a datagram socket."""
import json
import mailbox
import os
import pathlib
import socket
import sqlite3
import subprocess

import pytest

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


class Run:
    """One attempt: its exit status, result, heartbeats and output."""

    def __init__(self, tmp_path, name, parameters, attempt=1, **environment):
        work = tmp_path / f"attempt-{len(list(tmp_path.iterdir()))}"
        work.mkdir()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.bind(str(work / "notify"))
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            done = subprocess.run([EXAMPLES / name], input=json.dumps(parameters), text=True, capture_output=True, timeout=60, env={
                "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "EXAMPLES_DIR": str(tmp_path / "files"),
                "JOBBERS_TASK_ID": "01JBKR2E5F3G4H5J6K7M8N9P0Q", "JOBBERS_ATTEMPT": str(attempt),
                "JOBBERS_RESULT": str(work / "result"), "NOTIFY_SOCKET": str(work / "notify"), **environment})
            self.notes = []
            s.setblocking(False)
            try:
                while True:
                    self.notes.append(dict(line.split("=", 1) for line in s.recv(65536).decode().splitlines()))
            except BlockingIOError:
                pass
        self.status, self.output = done.returncode, done.stdout + done.stderr
        self.result = json.loads((work / "result").read_text()) if (work / "result").exists() else {}
        self.progress = [int(n["X_JOBBERS_PROGRESS"]) for n in self.notes]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


def test_report_is_written_with_progress(tmp_path, files):
    status = tmp_path / "status"
    status.write_text("Package: a<b\nStatus: install ok installed\nVersion: 1\nInstalled-Size: 2048\nSection: libs\nDescription: x\n y: z\n\n"
                      "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n")
    log = tmp_path / "log"
    log.write_text("2026-01-02 03:04:05 install a:amd64 <none> 1\n2026-01-02 03:04:06 status installed a:amd64 1\n")
    run = Run(tmp_path, "generate_report", {"report_id": 42}, DPKG_STATUS=str(status), DPKG_LOG=str(log))
    assert run.status == 0, run.output
    assert run.result == {"url": f"file://{files}/reports/42.html", "packages": 1, "sections": 4}
    page = (files / "reports/42.html").read_text()
    assert "a&lt;b" in page and "gone" not in page and "<td>2026-01-02</td><td>1</td><td>0</td><td>0</td>" in page
    assert run.progress == sorted(run.progress) and run.progress[0] == 0 and run.progress[-1] == 100
    assert all(n["WATCHDOG"] == "1" for n in run.notes)


def test_report_reads_this_host(tmp_path, files):
    if not os.path.exists("/var/lib/dpkg/status"):
        pytest.skip("no dpkg here")
    run = Run(tmp_path, "generate_report", {"report_id": 1})
    assert run.status == 0 and run.result["packages"] > 10, run.output


def test_report_without_a_source_fails_for_good(tmp_path, files):
    run = Run(tmp_path, "generate_report", {"report_id": 1}, DPKG_STATUS=str(tmp_path / "none"))
    assert run.status == 1 and run.result["error"]["type"] == "NoSource"


@pytest.fixture
def orders(files):
    (files / "incoming").mkdir()
    text = subprocess.run([EXAMPLES / "sample-orders", "23000"], check=True, capture_output=True).stdout
    (files / "incoming/orders.csv").write_bytes(text)
    return files / "imports/orders.db"


def rows_of(path):
    with sqlite3.connect(path) as db:
        return db.execute("SELECT count(*), count(DISTINCT order_id), min(order_id + 0), max(order_id + 0) FROM imported").fetchone()


def test_import_resumes_where_it_stopped(tmp_path, orders):
    first = Run(tmp_path, "bulk_import", {"file_id": "orders", "give_up_at": 9000})
    assert first.status == 75 and first.result["error"]["type"] == "Rehearsal", first.output
    assert rows_of(orders) == (10000, 10000, 1, 10000)
    second = Run(tmp_path, "bulk_import", {"file_id": "orders", "give_up_at": 9000}, attempt=2)
    assert second.status == 0 and second.result == {"rows": 23000, "resumed_at": 10000, "database": str(orders)}, second.output
    assert rows_of(orders) == (23000, 23000, 1, 23000)
    assert second.progress[0] > 40 and second.progress[-1] == 100


def test_import_twice_is_import_once(tmp_path, orders):
    assert Run(tmp_path, "bulk_import", {"file_id": "orders"}).status == 0
    again = Run(tmp_path, "bulk_import", {"file_id": "orders"})
    assert again.status == 0 and again.result["resumed_at"] == 23000
    assert rows_of(orders) == (23000, 23000, 1, 23000)


def test_import_of_another_file_of_that_name_is_refused(tmp_path, files, orders):
    assert Run(tmp_path, "bulk_import", {"file_id": "orders"}).status == 0
    with open(files / "incoming/orders.csv", "a") as f:
        f.write("x,y,z,1\n")
    run = Run(tmp_path, "bulk_import", {"file_id": "orders"})
    assert run.status == 1 and run.result["error"]["type"] == "SourceReplaced"


def test_import_waits_for_a_busy_target(tmp_path, orders):
    orders.parent.mkdir()
    with sqlite3.connect(orders, isolation_level=None) as db:
        db.execute("BEGIN IMMEDIATE")
        run = Run(tmp_path, "bulk_import", {"file_id": "orders"})
    assert run.status == 75 and run.result["error"]["type"] == "DatabaseBusy"


@pytest.mark.parametrize("name", ["../etc/passwd", "a/b", "", "x" * 65, "a\n"])
def test_import_takes_names_and_never_paths(tmp_path, files, name):
    run = Run(tmp_path, "bulk_import", {"file_id": name})
    assert run.status == 1 and run.result["error"]["type"] == "BadFileId"


def test_import_names_a_bad_row(tmp_path, files):
    (files / "incoming").mkdir()
    (files / "incoming/x.csv").write_text("a,b\n1,2\n3\n")
    run = Run(tmp_path, "bulk_import", {"file_id": "x"})
    assert run.status == 1 and "row 2 has 1 fields" in run.result["error"]["message"]


LETTER = {"to": "ann@example.org", "subject": "Grüße", "body": "Hello\n"}


@pytest.fixture
def ann(files):
    return mailbox.Maildir(files / "mail/ann", create=True) if (files / "mail").mkdir() is None else None


def test_mail_is_delivered_once(tmp_path, ann):
    for _ in range(2):
        run = Run(tmp_path, "send_email", LETTER)
        assert run.status == 0 and run.result["status"] == "sent", run.output
    (message,) = list(ann)
    assert message["To"] == "ann@example.org" and message.get_payload(decode=True).decode() == "Hello\n"


def test_mail_already_read_is_not_delivered_again(tmp_path, files, ann):
    assert Run(tmp_path, "send_email", LETTER).status == 0
    (new,) = (files / "mail/ann/new").iterdir()
    new.rename(files / f"mail/ann/cur/{new.name}:2,S")
    assert Run(tmp_path, "send_email", LETTER).status == 0
    assert len(ann) == 1


def test_missing_mailbox_is_expected(tmp_path, files):
    run = Run(tmp_path, "send_email", LETTER)
    assert run.status == 1 and run.result["error"]["type"] == "NoSuchMailbox"
    assert "NoSuchMailbox" in (EXAMPLES / "send_email.task").read_text().split("RetryOn=")[1].splitlines()[0]


@pytest.mark.parametrize("to", ["../root", ".", "", "a/b@x"])
def test_mail_goes_to_names_only(tmp_path, files, to):
    run = Run(tmp_path, "send_email", {**LETTER, "to": to})
    assert run.status == 1 and run.result["error"]["type"] == "BadAddress"


def test_mail_header_injection_is_refused(tmp_path, ann):
    run = Run(tmp_path, "send_email", {**LETTER, "subject": "a\nBcc: everyone@example.org"})
    assert run.status == 1 and run.result["error"]["type"] == "BadHeader" and len(ann) == 0


def test_examples_stay_short():
    for path in EXAMPLES.iterdir():
        if path.is_file() and path.name != "demo":
            assert len(path.read_text().splitlines()) < 150, path
