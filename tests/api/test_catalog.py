"""units/jobbers.catalog explains every MESSAGE_ID there is, and journalctl can read it."""
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CATALOG = ROOT / "units/jobbers.catalog"
HEADER = ROOT / "jobbersd/base/message-id.h"
# What log_task() can add; JOBBERS_ATTEMPT only where there has been one.
FIELDS = {"JOBBERS_TASK_ID", "JOBBERS_ATTEMPT", "JOBBERS_TASK_NAME", "JOBBERS_QUEUE"}


def ids():
    return dict(re.findall(r'^#define (MESSAGE_\w+)\s+"([0-9a-f]{32})"$', HEADER.read_text(), re.M))


def entries():
    parts = re.split(r"^-- ([0-9a-f]{32})\n", CATALOG.read_text(), flags=re.M)
    return list(zip(parts[1::2], parts[2::2]))


def source():
    return "".join(p.read_text() for d in ("jobbersd", "jobbers-run") for p in (ROOT / d).rglob("*.[ch]") if p != HEADER)


def test_each_id_has_its_text_and_each_text_its_id():
    there = [i for i, _ in entries()]
    assert len(ids()) > 15 and len(set(ids().values())) == len(ids())
    assert sorted(there) == sorted(ids().values())


def test_each_id_is_used_and_none_is_written_out():
    code = source()
    assert [name for name in ids() if not re.search(rf"\b{name}\b", code)] == []
    assert [i for i in ids().values() if i in code] == []
    assert set(re.findall(r"\bMESSAGE_(?:TASK|ATTEMPT|RECORD|DEFINITION|DISK|LAUNCHER|BACKUP)_\w+", code)) == set(ids())


def test_texts_are_whole():
    for i, text in entries():
        head, body = text.split("\n\n", 1)
        keys = dict(line.split(": ", 1) for line in head.splitlines())
        assert set(keys) == {"Subject", "Defined-By", "Documentation"} and keys["Defined-By"] == "jobbers", i
        name, section = re.fullmatch(r"man:([\w.-]+)\((\d)\)", keys["Documentation"]).groups()
        assert (ROOT / f"packaging/man/{name}.{section}.in").exists(), i
        assert body.strip() and all(len(line) <= 79 for line in text.splitlines()), i
        assert set(re.findall(r"@(\w+)@", text)) <= FIELDS, i
        # Only what is about a task carries a task's fields.
        name = next(n for n, value in ids().items() if value == i)
        assert ("@JOBBERS_TASK_ID@" in text) == bool(re.match("MESSAGE_(TASK|ATTEMPT|RECORD)_", name)), i


def test_next_steps_are_commands():
    """Whoever reads the journal has a shell, and no HTTP client in mind; and the verbs are there."""
    with open(ROOT / "jobbersctl/verbs.def") as f:
        verbs = set(re.findall(r'^VERB\(\w+, "([a-z-]+)"', f.read(), re.M))
    for i, text in entries():
        assert not re.search(r"\b(GET|POST|PUT|DELETE) /", text), i
        assert set(re.findall(r"\bjobbersctl ([a-z-]+)", text)) <= verbs, i


def test_pages_that_units_name_are_there():
    units = [p for pattern in ("*.service", "*.socket", "*.slice") for p in (ROOT / "units").rglob(pattern)]
    assert len(units) > 6
    for unit in units:
        pages = re.findall(r"man:([\w.-]+)\((\d)\)", unit.read_text())
        assert pages, unit
        assert [p for p in pages if not (ROOT / f"packaging/man/{p[0]}.{p[1]}.in").exists()] == [], unit


@pytest.mark.skipif(not shutil.which("journalctl"), reason="journalctl is not installed")
def test_journalctl_reads_it(tmp_path):
    (tmp_path / "usr/lib/systemd/catalog").mkdir(parents=True)
    shutil.copy(CATALOG, tmp_path / "usr/lib/systemd/catalog")
    said = subprocess.run(["journalctl", f"--root={tmp_path}", "--update-catalog"], capture_output=True, text=True)
    assert said.returncode == 0 and "jobbers.catalog:" not in said.stderr, said.stderr
    assert (tmp_path / "var/lib/systemd/catalog/database").exists()
    listed = subprocess.run(["journalctl", f"--root={tmp_path}", "--list-catalog"], capture_output=True, text=True, check=True).stdout
    assert {line.split()[0] for line in listed.splitlines()} == set(ids().values())
