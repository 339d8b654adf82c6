"""What libjobbers exports, and that its header is a header for everybody."""
import re
import shutil
import subprocess

import pytest
from conftest import LIBDIR, ROOT, SAN, TREE, pkg_config

MAP = ROOT / "libjobbers/libjobbers.map"
HEADER = TREE / "usr/include/jobbers.h"
LIBRARY = LIBDIR / "libjobbers.so.0"


def without_comments(path):
    return re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)


def exported():
    out = subprocess.run(["nm", "-D", "--defined-only", "--with-symbol-versions", LIBRARY], check=True, capture_output=True, text=True).stdout
    return {line.split()[2] for line in out.splitlines() if line.split()[1] != "A" and not re.search(r"\b__(asan|odr_asan|ubsan|lsan)", line)}


def test_the_library_the_map_the_header_and_the_package_agree():
    in_map = set(re.findall(r"\b(jobbers_\w+);", without_comments(MAP)))
    in_header = set(re.findall(r"\b(jobbers_\w+)\(", without_comments(HEADER).replace("JOBBERS_SUBMISSION(", "")))
    in_package = set(re.findall(r"^ (jobbers_\w+)@JOBBERS_0 ", (ROOT / "packaging/debian/libjobbers0.symbols").read_text(), re.M))
    assert len(in_map) > 30
    assert in_header == in_map
    assert in_package == in_map
    assert exported() == {f"{name}@@JOBBERS_0" for name in in_map}


def test_soname_and_what_it_needs():
    out = subprocess.run(["readelf", "-d", LIBRARY], check=True, capture_output=True, text=True).stdout
    assert "Library soname: [libjobbers.so.0]" in out
    needed = set(re.findall(r"\(NEEDED\).*\[(.*?)\]", out))
    # libcurl and all that it brings would be loaded by every task
    assert {n for n in needed if not re.match(r"lib(asan|ubsan)\.", n)} <= {"libjansson.so.4", "libc.so.6", "ld-linux-x86-64.so.2"}
    assert (LIBDIR / "libjobbers.so").resolve() == LIBRARY.resolve()


def test_pkg_config():
    assert pkg_config("--modversion") == [re.search(r"^VERSION := (.*)$", (ROOT / "Makefile").read_text(), re.M)[1]]
    assert "-ljobbers" in pkg_config("--libs")


@pytest.mark.parametrize("compiler, language", [("gcc", "c99"), ("gcc", "c17"), ("g++", "c++11"), ("g++", "c++20")])
def test_the_header_alone_compiles(tmp_path, compiler, language):
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler} here")
    source = tmp_path / ("a.cc" if compiler == "g++" else "a.c")
    source.write_text('#include <jobbers.h>\n#include <jobbers.h>\nint main(void) { return jobbers_state_is_final(JOBBERS_STARTED); }\n')
    subprocess.run([compiler, f"-std={language}", "-pedantic-errors", "-Wall", "-Wextra", "-Werror", *pkg_config("--cflags"), source, "-o", tmp_path / "a",
                    *pkg_config("--libs"), *([f"-fsanitize={SAN}"] if SAN else [])], check=True)
    subprocess.run([tmp_path / "a"], check=True, env={"LD_LIBRARY_PATH": str(LIBDIR)})


def test_json(compiled):
    subprocess.run([compiled("json")], check=True, env={"LD_LIBRARY_PATH": str(LIBDIR)})
