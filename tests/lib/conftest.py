"""Fixtures of the tests of what other programs use: libjobbers, the Python module, jobbers-task, the completions. All of it is taken from an
installed tree (JOBBERS_TREE, made by `make check-lib`), and talks with a real daemon."""
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests" / "api"))
from harness import BUILD, PROGRAMS, Daemon  # noqa: E402

TREE = pathlib.Path(os.environ.get("JOBBERS_TREE", os.path.join(BUILD, "tree")))
LIBDIR, BINDIR, PYTHONDIR = TREE / "usr/lib", TREE / "usr/bin", TREE / "usr/lib/python3/dist-packages"
SAN = os.environ.get("JOBBERS_SAN", "")
sys.path.insert(0, str(PYTHONDIR))
sys.dont_write_bytecode = True


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    setattr(item, "failed_" + report.when, report.failed)
    if report.skipped and os.environ.get("STRICT") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped under STRICT=1: {report.longrepr}"


def pkg_config(*words):
    environment = dict(os.environ, PKG_CONFIG_PATH=str(LIBDIR / "pkgconfig"), PKG_CONFIG_SYSROOT_DIR=str(TREE))
    return subprocess.run(["pkg-config", *words, "libjobbers"], env=environment, check=True, capture_output=True, text=True).stdout.split()


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """compiled("client") → the program made of tests/lib/client.c as a user of the library would make it."""
    directory = tmp_path_factory.mktemp("programs")
    made = {}

    def compile_one(name):
        if name not in made:
            made[name] = directory / name
            flags = ["-std=gnu17", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-g"] + ([f"-fsanitize={SAN}"] if SAN else [])
            subprocess.run(["gcc", *flags, *pkg_config("--cflags"), str(HERE / f"{name}.c"), "-o", str(made[name]), *pkg_config("--libs"), "-pthread"],
                           check=True)
        return made[name]
    return compile_one


@pytest.fixture
def make_daemon(request):
    """As in tests/api: ended, and held to its promises, after the test."""
    made = []

    def make(**settings):
        made.append(Daemon(**settings))
        return made[-1]

    yield make
    failed = getattr(request.node, "failed_call", True)
    problems = []
    for d in reversed(made):
        if failed:
            sys.stderr.write(f"── stderr of {d.tmp} ──\n{d.log()[-6000:]}\n")
        try:
            d.close(check=not failed)
        except AssertionError as e:
            problems.append(str(e))
    assert not problems or failed, "\n".join(problems)


@pytest.fixture
def daemon(make_daemon):
    d = make_daemon(slots=16)
    d.define("ok", "exit 0")
    d.define("fail", "exit 1")
    d.define("hold", "echo start $JOBBERS_TASK_ID $JOBBERS_ATTEMPT $$ >@BOX@\nread -r x <@GATE@\nexit 0")
    d.define("echo", 'cat "$JOBBERS_PARAMETERS" >"$JOBBERS_RESULT"')
    d.define("typed", "exit 0", extra="[Parameters]\nnumber_of_things = integer\n")
    return d.start()


def lay_out(d, *sources):
    """Copies installed files to where tasks of that daemon may read them; returns the directory."""
    directory = pathlib.Path(d.path("lib"))
    directory.mkdir(exist_ok=True)
    for source in sources:
        for path in source.parent.glob(source.name):
            shutil.copy(path, directory)
    return directory


__all__ = ["PROGRAMS"]
