"""The completions of bash and zsh: as the shells call them, against a real daemon; and their tables against what jobbersctl says itself."""
import json
import os
import pty
import re
import select
import shutil
import subprocess
import time

import pytest
from conftest import BINDIR, TREE
from harness import PATIENCE

BASH_DIR = TREE / "usr/share/bash-completion/completions"
ZSH_DIR = TREE / "usr/share/zsh/vendor-completions"
CTL, RUN, TASK = BINDIR / "jobbersctl", BINDIR / "jobbers-run", BINDIR / "jobbers-task"


# ── how the shells ask ──


class Bash:
    """What bash would offer at the end of a line. readline hands the words over split at = and :; `colon` says whether it does so at :."""

    PROGRAM = """
        . /usr/share/bash-completion/bash_completion
        for name in jobbersctl jobbers-run jobbers-task; do . DIRECTORY/$name; done
        compopt() { echo compopt "$@"; }
        while read -r -d "" function && read -r -d "" COMP_WORDBREAKS && read -r -d "" COMP_LINE && read -r -d "" n; do
                COMP_POINT=${#COMP_LINE} COMP_WORDS=() COMPREPLY=() COMP_CWORD=$((n - 1))
                for ((k = 0; k < n; k++)); do read -r -d "" "COMP_WORDS[k]"; done
                $function "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" </dev/null
                for reply in "${COMPREPLY[@]}"; do printf '<%s>\\n' "$reply"; done
                echo END
        done""".replace("DIRECTORY", str(BASH_DIR))

    def __init__(self, **environment):
        self.process = subprocess.Popen(["bash", "--norc", "-c", self.PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True, env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environment})

    @staticmethod
    def split(line, colon):
        words = [""]
        for part in re.split(r"( +|[=:]+)" if colon else r"( +|=+)", line):
            if part.isspace():
                words.append("")
            elif part and part[0] in "=:":
                words[-1:] = [words[-1], part, ""] if words[-1] else [part, ""]
            else:
                words[-1] += part
        if len(words) > 1 and words[-1] == "" and words[-2][:1] in ("=", ":"):
            words.pop()     # what follows the "=" is empty: that is the current word
        return words

    def ask(self, line, colon=True):
        """The offers, and what was asked of compopt."""
        words = self.split(line, colon)
        function = "_" + os.path.basename(words[0]).replace("-", "_")
        breaks = " \t\"'><=;|&(" + (":" if colon else "")
        self.process.stdin.write("".join(w + "\0" for w in [function, breaks, line, str(len(words)), *words]))
        self.process.stdin.flush()
        said = []
        while not said or said[-1] != "END\n":
            said.append(self.process.stdout.readline())
            assert said[-1], f"bash has ended: {said}"
        offered = [x[1:-2] for x in said if x.startswith("<")]
        options = [x[8:-1] for x in said if x.startswith("compopt ")]
        assert len(offered) + len(options) == len(said) - 1, said
        return offered, options

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


class Zsh:
    """What zsh would offer at the end of a line: an interactive one in a terminal of its own, where somebody types it and presses Tab."""

    START = """
PS1= PS2= LISTMAX=10000
fpath=(DIRECTORY $fpath)
autoload -Uz compinit && compinit -u -D
zstyle ':completion:*' completer _complete
compadd() {
        if [[ $* == *-[OAD]\\ * ]]; then
                builtin compadd "$@"
                return
        fi
        local -a hits suffix
        builtin compadd -A hits "$@"
        zparseopts -E S:=suffix
        local h
        for h in $hits; do print -r -- "<$IPREFIX$h$suffix[2]>"; done
        builtin compadd "$@"
}
ended() { print -r -- "<<"END">>"; compstate[insert]= compstate[list]=; comppostfuncs=(ended) }
comppostfuncs=(ended)
print -r -- "<<"READY">>"
""".replace("DIRECTORY", str(ZSH_DIR))

    def __init__(self, **environment):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execve("/usr/bin/zsh", ["zsh", "-f", "-i"], {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "TERM": "dumb", "COLUMNS": "1000", **environment})
        os.write(self.terminal, self.START.encode())
        self.read_until(b"<<READY>>")

    def read_until(self, word):
        said, deadline = b"", time.monotonic() + PATIENCE
        while word not in said:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.terminal], [], [], left)[0], f"zsh said no {word}: {said.decode(errors='replace')}"
            said += os.read(self.terminal, 65536)
        return said.split(word)[0].decode()

    def ask(self, line):
        kill_line = b"\x15"
        os.write(self.terminal, kill_line + line.encode() + b"\t")
        return re.findall(r"<([^<>\r\n]*)>", self.read_until(b"<<END>>"))

    def close(self):
        os.close(self.terminal)
        os.waitpid(self.pid, 0)


RUNNING = {}


def running(kind, environment):
    key = kind, *sorted(environment.items())
    if key not in RUNNING:
        RUNNING[key] = kind(**environment)
    return RUNNING[key]


def bash(line, colon=True, **environment):
    offered, bash.options = running(Bash, environment).ask(line, colon)
    return offered


def zsh(line, **environment):
    return running(Zsh, environment).ask(line)


@pytest.fixture(scope="module", autouse=True)
def shells_end():
    yield
    while RUNNING:
        RUNNING.popitem()[1].close()


SHELLS = [pytest.param(bash, id="bash"), pytest.param(zsh, id="zsh")]


@pytest.fixture(autouse=True)
def shells_are_there():
    for program in ("bash", "zsh"):
        if not shutil.which(program):
            pytest.skip(f"no {program} here")
    if not os.path.exists("/usr/share/bash-completion/bash_completion"):
        pytest.skip("no bash-completion here")


def values(offered, shell, line):
    """Both name the same things: bash only what follows the last "=", zsh all of the word."""
    if shell is zsh and "=" in line.split(" ")[-1]:
        before = line.split(" ")[-1].rpartition("=")[0] + "="
        assert all(o.startswith(before) for o in offered), offered
        return sorted(o[len(before):] for o in offered)
    return sorted(offered)


# ── verbs and options, which must be jobbersctl's ──


def help_of(*words):
    return subprocess.run([CTL, *words, "--help"], check=True, capture_output=True, text=True).stdout


def verbs_of_help():
    return re.findall(r"^  ([a-z][a-z-]*)(?: |$)", help_of().split("\nOptions")[0], re.M)


def options_of(text):
    """{"--queue=", "--wait", "-f", …} of a help text."""
    found = set()
    for letter, name, valued in re.findall(r"^ {2,5}(-\w )? *--([a-z-]+)(=?)", text.split("\nOptions")[1], re.M):
        found.add(f"--{name}{valued}")
        if letter:
            found.add(letter.strip())
    return found


def test_the_help_is_understood():
    assert {"submit", "dlq", "show-metrics"} <= set(verbs_of_help()) and len(verbs_of_help()) > 20
    assert {"--host=", "-H", "--json=", "--quiet", "-q", "--help"} <= options_of(help_of())
    assert {"--at=", "--follow", "-f"} <= options_of(help_of("submit"))


@pytest.mark.parametrize("shell", SHELLS)
def test_verbs_are_those_of_the_help(shell):
    assert sorted(shell(f"{CTL} ")) == sorted(verbs_of_help())
    assert shell(f"{CTL} subm") == ["submit"] and shell(f"{CTL} --quiet --json short subm") == ["submit"]


@pytest.mark.parametrize("shell", SHELLS)
def test_options_before_the_verb_are_those_of_the_help(shell):
    offered = set(shell(f"{CTL} -"))
    assert {o for o in offered if o.startswith("--")} == {o for o in options_of(help_of()) if o.startswith("--")}


def test_options_of_every_verb_are_those_of_its_help():
    common = options_of(help_of())
    for verb in verbs_of_help():
        text = help_of(verb)
        own = options_of(text) if "\nOptions (" in text else set()
        assert set(bash(f"{CTL} {verb} -")) == common | own, verb


@pytest.mark.parametrize("verb", ["submit", "list", "dlq"])
def test_options_of_verbs_in_zsh(verb):
    expected = options_of(help_of()) | options_of(help_of(verb))
    assert {o for o in zsh(f"{CTL} {verb} --") if o.startswith("--")} == {o for o in expected if o.startswith("--")}


def test_keys_of_queues_are_those_that_jobbersctl_knows(daemon):
    """Each that is offered is one, and each that the help explains is offered."""
    offered = [o.rstrip("=") for o in bash(f"{CTL} set-queue reports ")]
    assert offered and sorted(offered) == sorted(set(re.findall(r"(\w+)=[A-Z]", help_of("set-queue").replace("KEY=", "").split("\n", 1)[1])))
    for key in offered:
        p = subprocess.run([CTL, f"--socket={daemon.socket_path}", "set-queue", "default", f"{key}=none"], capture_output=True, text=True)
        assert f'no "{key}"' not in p.stderr, p.stderr
    assert bash(f"{CTL} set-queue reports paused=") == ["true", "false"]


# ── values that the daemon knows ──


@pytest.fixture
def busy(daemon):
    """With queues, a role, tasks with parameters, and tasks in several states."""
    daemon.define("report", "exit 0", extra="[Parameters]\nreport_id = integer, required\nfast = boolean\nsections = array\ntitle = string\n")
    daemon.define("repeat", "exit 0")
    daemon.define("buried", "exit 1", DeadLetterPolicy="save")
    daemon.reload()
    for q in ("reports", "exports"):
        daemon.post("/queues", {"name": q}, status=201)
    daemon.post("/roles", {"name": "heavy", "queues": ["reports"]}, status=201)
    daemon.ctl = f"{CTL} --socket={daemon.socket_path}"
    daemon.done, daemon.dead = daemon.run("ok")["id"], daemon.run("buried")["id"]
    daemon.held = daemon.submit("hold")
    daemon.box.line()
    yield daemon
    daemon.gate.open()
    daemon.wait_final(daemon.held)


@pytest.mark.parametrize("shell", SHELLS)
def test_values_of_the_daemon(busy, shell):
    def offers(rest):
        return values(shell(f"{busy.ctl} {rest}"), shell, rest)
    assert offers("submit rep") == ["repeat", "report"]
    assert offers("cat ec") == ["echo"] and offers("tasks --no-legend ec") == ["echo"]
    assert offers("list --task=rep") == ["repeat", "report"] and offers("list --task rep") == ["repeat", "report"]
    assert offers("pause ") == ["default", "exports", "reports"] and offers("pause default e") == ["exports"]
    assert offers("submit report --queue=") == ["default", "exports", "reports"] and offers("submit --queue e") == ["exports"]
    assert offers("roles h") == ["heavy"] and offers("set-role heavy e") == ["exports"]
    assert offers("cancel ") == [busy.held] and offers("wait ") == [busy.held]
    assert offers("status ") == sorted([busy.done, busy.dead, busy.held])
    assert offers(f"logs {busy.done[:20]}")[0][:20] == busy.done[:20]
    assert offers("dlq history ") == [busy.dead]
    assert offers("dlq ") == ["history", "list", "remove", "resubmit"] and offers("drain ") == ["off", "on"]
    assert offers("list --status=s") == ["scheduled", "stalled", "started", "submitted"]
    assert offers("--json=") == ["off", "pretty", "short"] and offers("list --json p") == ["pretty"]


@pytest.mark.parametrize("shell", SHELLS)
def test_parameters_of_a_task(busy, shell):
    def offers(rest):
        return values(shell(f"{busy.ctl} {rest}"), shell, rest)
    assert offers("submit report ") == ["fast=", "report_id=", "sections:=", "title="]
    assert offers("run --queue=reports report report_id=42 sections:=[] ") == ["fast=", "title="]
    assert offers("submit report f") == ["fast="]
    assert offers("submit report fast=") == ["false", "true"] and offers("submit report fast=t") == ["true"]
    assert offers("submit echo ") == [] and offers("submit nosuch ") == []


def test_roles_take_queues_with_a_plus(busy):
    assert sorted(bash(f"{busy.ctl} set-role heavy +")) == ["+default", "+exports", "+reports"]
    assert zsh(f"{busy.ctl} set-role heavy +e") == ["+exports"]


def test_where_colons_do_not_split(busy):
    assert bash(f"{busy.ctl} submit --queue=e", colon=False) == ["exports"]
    assert bash(f"{busy.ctl} submit report s", colon=False) == ["sections:="] and bash.options == ["-o nospace"]
    assert bash(f"{busy.ctl} submit re", colon=False) == ["repeat", "report"] and bash.options == []
    assert bash(f"{busy.ctl} submit report f") == ["fast="] and bash.options == ["-o nospace"]
    assert bash(f"{busy.ctl} submit report title=") == [] and bash.options == ["-o default"]


@pytest.mark.parametrize("shell", SHELLS)
def test_without_a_daemon(shell, tmp_path):
    (tmp_path / "jobbers/tasks.d").mkdir(parents=True)
    (tmp_path / "jobbers/tasks.d/a.task").write_text("[Task]\nName=from_a_file\nVersion=1\nExecStart=/bin/true\n")
    nowhere = f"{CTL} --socket={tmp_path}/none"
    assert shell(f"{nowhere} cancel ") == [] and shell(f"{nowhere} pause ") == []
    assert shell(f"{nowhere} cat from", XDG_CONFIG_HOME=str(tmp_path)) == ["from_a_file"]
    (tmp_path / "token-of-mine").touch()
    line = f"{CTL} --token-file={tmp_path}/tok"
    assert [o[-13:] for o in shell(line)] == ["token-of-mine"]


# ── what must not be executed ──

# What a hostile daemon may say, or a file: all of it would make a file named "ran".
HOSTILE = ["$(>MARK)", "`>MARK`", "a$(>MARK)b", "${x:-$(>MARK)}", "$((x[$(>MARK)]))", "x;>MARK", "x'$(>MARK)'"]


@pytest.mark.parametrize("shell", SHELLS)
def test_words_of_a_hostile_daemon_are_not_executed(shell, tmp_path):
    """jobbersctl prints what the host behind --host= says. This one stands in its place, with a good word among the others for each list."""
    mark = tmp_path / "ran"
    words = [w.replace("MARK", str(mark)) for w in HOSTILE]
    lists = {"tasks": ["good 1 x", *(f"{w} 1 x" for w in words)], "queues": ["good 1", *(f"{w} 1" for w in words)],
             "roles": ["good 1", *(f"{w} 1" for w in words)], "dlq": ["good a default x", *(f"{w} a default x" for w in words)],
             "list": ["good a default started", "also $a default started", *(f"{w} a default started" for w in words),
                      *(f"also{n} {w} default {w}" for n, w in enumerate(words))]}
    parameters = [{"name": "good", "type": "string"}, *({"name": w, "type": t} for w in words for t in ("string", "array")), {"name": "other", "type": words[0]}]
    for name, lines in lists.items():
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    (tmp_path / "parameters").write_text(json.dumps({"parameters": parameters}, separators=(",", ":")) + "\n")
    program = tmp_path / "jobbersctl"
    program.write_text(f"#!/bin/sh\ncase $* in *--json=*) exec cat {tmp_path}/parameters ;; esac\n"
                       f"for a; do case $a in --*) ;; *) exec cat {tmp_path}/$a ;; esac; done\n")
    program.chmod(0o755)
    for line in ("pause ", "submit x --queue=", "set-role heavy +", "roles ", "submit ", "list --task=", "cancel ", "status ", "dlq history ", "submit x "):
        offered = shell(f"{program} --host=evil {line}")
        assert offered and not mark.exists(), (line, offered)
        assert all(re.fullmatch(r"(--queue=|--task=|\+)?(good|other|also\d?)=?", o) for o in offered), (line, offered)


@pytest.mark.parametrize("shell", SHELLS)
def test_words_of_a_file_are_not_executed(shell, tmp_path):
    mark = tmp_path / "ran"
    words = [w.replace("MARK", str(mark)) for w in HOSTILE]
    (tmp_path / "jobbers/tasks.d").mkdir(parents=True)
    files = [f"[Task]\nName={w}\nVersion=1\nExecStart=/bin/true\n" for w in ("good", *words)]
    files[0] += "[Parameters]\ngood = string\n" + "".join(f"{w} = {t}\n" for w in words for t in ("string", "array")) + f"other = {words[0]}\n"
    for n, text in enumerate(files):
        (tmp_path / f"jobbers/tasks.d/{n}.task").write_text(text)
    environment = {"XDG_CONFIG_HOME": str(tmp_path)}
    tasks_dir = tmp_path / "jobbers/tasks.d"
    assert shell(f"{CTL} --socket={tmp_path}/none cat ", **environment) == ["good"]
    for line, expected in ((f"{RUN} ", ["good"]), (f"{RUN} --task-dir={tasks_dir} ", ["good"]), (f"{RUN} --task-dir={tasks_dir} good ", ["good=", "other="])):
        assert sorted(shell(line, **environment)) == expected and not mark.exists(), line


# ── jobbers-run and jobbers-task ──


@pytest.mark.parametrize("shell", SHELLS)
def test_jobbers_run(shell, tmp_path):
    (tmp_path / "report.task").write_text("[Task]\nName=report\nVersion=1\nExecStart=/bin/true\n[Parameters]\nreport_id = integer, required\n"
                                          "sections=array\n")
    (tmp_path / "other.task").write_text("[Task]\nName=other\nVersion=1\nExecStart=/bin/true\n[Parameters]\nunlike = string\n")
    line = f"{RUN} --task-dir={tmp_path} "
    assert {"report", "other"} <= set(shell(line))
    assert shell(line + "rep") == ["report"]
    assert sorted(shell(line + "report ")) == ["report_id=", "sections:="]
    assert shell(line + "report@1 r") == ["report_id="]
    help_text = subprocess.run([RUN, "--help"], check=True, capture_output=True, text=True).stdout
    assert set(shell(f"{RUN} --")) == set(re.findall(r"^  (--[a-z-]+=?)", help_text, re.M))
    assert values(shell(f"{RUN} --launcher="), shell, f"{RUN} --launcher=") == ["auto", "scope", "subprocess"]


@pytest.mark.parametrize("shell", SHELLS)
def test_jobbers_task(shell):
    help_text = subprocess.run([TASK, "--help"], check=True, capture_output=True, text=True).stdout
    verbs = re.findall(r"^  ([a-z][a-z-]+) ", help_text, re.M)
    assert len(verbs) == 9 and sorted(shell(f"{TASK} ")) == sorted(verbs)
    assert shell(f"{TASK} res") == ["result"]
