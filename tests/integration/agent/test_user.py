"""An agent that root starts changes its user, wherever it is installed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from colotrace_formats.formats import FORMATS
from lab import access

pytestmark = pytest.mark.skipif(
    not access.is_root() or shutil.which("setpriv") is None or shutil.which("unshare") is None,
    reason="starts the agent as root, with and without capabilities: needs root and util-linux",
)

# Prints imports after the change of user, and the new user, on standard error.
WATCHED = """
import ctypes, json, os, sys
from colotrace_agent.host import privileges
finish, armed = privileges.finish, False
def told(event, args):
    if armed and event == "import" and args[0] not in sys.builtin_module_names:
        os.write(2, f"late import: {args[0]}\\n".encode())
sys.addaudithook(told)
def finish_and_watch(account):
    global armed
    finish(account)
    armed = True
    status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines())
    who = {name: status[name].split() for name in ("Uid", "Gid", "Groups", "CapEff", "CapPrm")}
    number = ctypes.c_int()
    ctypes.CDLL(None).prctl(2, ctypes.byref(number), 0, 0, 0)
    who["Pdeathsig"] = [str(number.value)]
    os.write(2, b"user: " + json.dumps(who).encode() + b"\\n")
privileges.finish = finish_and_watch
from colotrace_agent.main import main
main()
"""
NETWORK = """
ip link set lo up
ip link add name v0 type veth peer name v1
ip link set v0 up
ip link set v1 up
ip address add 198.51.100.1/24 dev v0
exec "$@"
"""
TRACE = ["trace", "198.51.100.1", "--allow-private", "--max-ttl", "2"]
RUN = ["run", "--colo", "tst01", "--city", "Testville", "--insecure"]
RUN_DIRECT = [*RUN, "--coordinator", "localhost:1"]
NET_RAW = "0000000000002000"


def watch(
    *words: str, before: tuple[str, ...] = (), stop_at: str = "", given: str = ""
) -> tuple[int, dict[str, list[str]], str]:
    """Run the agent in a network namespace with one address; returns exit code, user after the
    start, and other lines of standard error. With `stop_at` the agent is stopped when its log has
    that text."""
    argv = [
        *("unshare", "--net", "sh", "-c", NETWORK, "sh"),
        *(*before, sys.executable, "-c", WATCHED, *words),
    ]
    with subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(given)
        process.stdin.close()
        lines = []
        for line in process.stderr:
            lines.append(line)
            if stop_at and stop_at in line:
                process.terminate()
        process.wait(60)
    who = [line for line in lines if line.startswith("user: ")]
    rest = "".join(line for line in lines if line not in who)
    return process.returncode, json.loads(who[0].removeprefix("user: ")) if who else {}, rest


FLOWS = ["--multipath", "--packet-type", "udp"]
MODES = {
    "table": ([*TRACE, "localhost", "no-such.invalid", *FLOWS], "", "", 1),
    "file": ([*TRACE, "--targets-file", "-"], "", "127.0.0.2\nlocalhost\n", 0),
    **{
        form: ([*TRACE, "localhost", "no-such.invalid", *FLOWS, "--format", form], "", "", 1)
        for form in FORMATS
    },
    "coordinator": (RUN_DIRECT, "not attached", "", 0),
    "broker": ([*RUN, "--mqtt", "mqtt://localhost:1"], "broker lost", "", 0),
}


@pytest.mark.parametrize("mode", MODES)
def test_changes_user_and_imports_nothing_afterwards(mode: str) -> None:
    """The installation may be below /root, which that user cannot read."""
    words, stop_at, given, expected = MODES[mode]
    status, who, rest = watch(*words, stop_at=stop_at, given=given)
    assert status == expected, rest
    assert len(set(who["Uid"])) == len(set(who["Gid"])) == 1
    assert "0" not in (*who["Uid"], *who["Gid"], *who["Groups"])
    assert (who["CapEff"], who["CapPrm"]) == ([NET_RAW], [NET_RAW])
    assert "late import" not in rest
    assert "Traceback" not in rest


def test_user_can_be_chosen() -> None:
    status, who, _ = watch(*TRACE, "--user", "12345")
    assert status == 0
    assert (set(who["Uid"]), set(who["Gid"]), who["Groups"]) == ({"12345"}, {"12345"}, [])


@pytest.mark.parametrize("user", [(), ("--user", "root")], ids=["another", "root"])
def test_parents_death_still_ends_it(user: tuple[str, ...]) -> None:
    """The kernel clears the parent-death signal when the user changes (prctl(2),
    PR_SET_PDEATHSIG)."""
    status, who, _ = watch(*TRACE, *user, before=("setpriv", "--pdeathsig", "KILL"))
    assert (status, who["Pdeathsig"]) == (0, ["9"])


def test_root_can_be_chosen() -> None:
    status, who, _ = watch(*TRACE, "--user", "root")
    assert (status, set(who["Uid"]), who["CapEff"]) == (0, {"0"}, [NET_RAW])


def test_unknown_user_is_an_error() -> None:
    status, who, rest = watch(*TRACE, "--user", "no-such-user")
    assert (status, who, len(rest.splitlines())) == (2, {}, 1)


ONLY = "-all,+net_raw"
WITHOUT_SETUID = ("setpriv", "--bounding-set", ONLY, "--inh-caps", ONLY, "--")
# Its user namespace has only uid 0, which is an ordinary user outside.
USER_NAMESPACE = ("unshare", "--map-root-user", "--net", "sh", "-c", NETWORK, "sh")


@pytest.mark.parametrize("before", [WITHOUT_SETUID, USER_NAMESPACE], ids=["container", "namespace"])
def test_keeps_its_user_if_it_cannot_change(before: tuple[str, ...]) -> None:
    status, who, rest = watch(*TRACE, before=before)
    assert (status, set(who["Uid"]), who["CapEff"]) == (0, {"0"}, [NET_RAW]), rest


def test_user_that_it_cannot_become_is_an_error() -> None:
    status, who, rest = watch(*TRACE, "--user", "12345", before=WITHOUT_SETUID)
    assert (status, who, len(rest.splitlines())) == (2, {}, 1)


def test_network_of_another_user_namespace_is_named() -> None:
    """The process has CAP_NET_RAW, but not over this network."""
    status, who, rest = watch(*TRACE, before=("unshare", "--map-root-user", "--"))
    assert (status, who, len(rest.splitlines())) == (2, {}, 1)
    assert "user namespace" in rest


def test_key_that_only_root_may_read_is_read_as_root(tmp_path: Path) -> None:
    files = []
    for name in ("cert", "key", "ca"):
        file = tmp_path / name
        file.write_text("")
        file.chmod(0o600)
        files += [f"--tls-{name}", str(file)]
    words = [word for word in RUN_DIRECT if word != "--insecure"]
    status, who, rest = watch(*words, *files, stop_at="not attached")
    assert status == 0
    assert who["Uid"] != ["0"] * 4
    assert "Permission denied" not in rest


def test_check_distinguishes_a_foreign_network_from_missing_capabilities() -> None:
    agent = [sys.executable, "-c", "from colotrace_agent.main import main; main()"]
    done = subprocess.run(
        ["unshare", "--map-root-user", "--", *agent, "check", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    found = {each["check"]: each for each in json.loads(done.stdout)["findings"]}
    assert (done.returncode, found["rights"]["status"]) == (1, "OK")
    assert found["raw sockets"]["status"] == "FAIL"
    assert "CAP_NET_RAW" not in found["raw sockets"]["remedy"]
