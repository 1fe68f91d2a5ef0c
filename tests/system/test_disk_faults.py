"""A disk that fails, fills up or goes away: logging never raises, every call is counted, and it goes on by itself."""

import json
import os
import shutil
import subprocess

import pytest

from tests.system.scripts import run, start, stored_documents

pytestmark = pytest.mark.anyio

AGENT = """
import errno, glob, json, os, resource, signal, sys, time
import tailrace
SETTINGS = dict(spool={"segment_bytes": 65536, "directory": os.environ.get("SPOOL")}, publish="external")
def agent():
    global log
    log = tailrace.configure_logger("disk", **SETTINGS)
    return log
def steps(first, count):
    for step in range(first, first + count): log.log_action("step", input_data=[step, "x" * 200])
def report():
    stats = log.stats()
    print(json.dumps([stats.calls, stats.accepted, stats.dropped]), flush=True)
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount, or become another user")


def counts(reported):
    """(calls, accepted, dropped by reason), after checking that none is missing."""
    calls, accepted, dropped = json.loads(reported) if isinstance(reported, str) else reported
    assert calls == accepted + sum(dropped.values())
    return calls, accepted, dropped


def events(documents):
    """Without those that say that a process is gone."""
    return sum(document["counts"]["events"] - (document["state"] == "abandoned") for document in documents)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of two megabytes of its own."""
    path = tmp_path / "small"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", path], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


@as_root
async def test_a_full_disk_is_counted_and_left_behind_when_there_is_room_again(small_disk, tmp_path):
    code = """
agent(); steps(0, 10_000); report()
sys.stdin.readline()
time.sleep(1.1); before = sum(log.stats().dropped.values())
steps(10_000, 200); assert sum(log.stats().dropped.values()) == before
log.finalize(); report()
"""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1 << 20))
    spool = small_disk / "spool"
    with start(AGENT + code, env={**os.environ, "SPOOL": str(spool)}) as process:
        _, _, dropped = counts(process.stdout.readline())
        assert set(dropped) == {"io_error"}
        ballast.unlink()
        out, err = process.communicate("on\n", timeout=30)
    assert process.returncode == 0, err
    assert err.count("io_error") == 1
    _, accepted, dropped = counts(out.splitlines()[-1])
    (document,) = await stored_documents(home=str(tmp_path / "home"), spool={"directory": str(spool)})
    assert (document["state"], events([document])) == ("complete", accepted)
    assert document["integrity"]["dropped"] == dropped
    assert [action["input_data"][0] for action in document["actions"]][-200:] == list(range(10_000, 10_200))


@as_root
async def test_a_disk_that_is_full_from_the_start_leaks_nothing_and_is_used_once_it_has_room(small_disk, tmp_path):
    code = """
agent()
before = len(os.listdir("/proc/self/fd"))
for _ in range(3): steps(0, 5); time.sleep(1.01)
assert len(os.listdir("/proc/self/fd")) == before
print("full", flush=True); sys.stdin.readline()
time.sleep(1.01); steps(100, 20); log.finalize(); report()
"""
    ballast, spool = small_disk / "ballast", small_disk / "spool"
    with ballast.open("wb") as file:
        while (2 << 20) - file.tell() > 8192:
            file.write(bytes(4096))
            file.flush()
    with start(AGENT + code, env={**os.environ, "SPOOL": str(spool)}) as process:
        assert process.stdout.readline() == "full\n"
        ballast.unlink()
        out, err = process.communicate("on\n", timeout=30)
    assert process.returncode == 0, err
    _, accepted, dropped = counts(out.splitlines()[-1])
    (document,) = await stored_documents(home=str(tmp_path / "home"), spool={"directory": str(spool)})
    assert document["integrity"]["dropped"] == dropped
    assert (len(document["actions"]), events([document])) == (20, accepted)


@as_root
async def test_a_read_only_disk_is_counted_and_used_once_it_can_be_written(small_disk, tmp_path):
    """One with a live spool on it cannot be made read-only: the kernel says that it is busy."""
    code = """
agent(); steps(0, 100); report()
sys.stdin.readline()
time.sleep(1.01); steps(4000, 100); log.finalize(); report()
"""
    spool = small_disk / "spool"
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with start(AGENT + code, env={**os.environ, "SPOOL": str(spool)}) as process:
        calls, accepted, dropped = counts(process.stdout.readline())
        assert (accepted, dropped) == (0, {"io_error": calls})
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
        out, err = process.communicate("on\n", timeout=30)
    assert process.returncode == 0, err
    _, accepted, dropped = counts(out.splitlines()[-1])
    (document,) = await stored_documents(home=str(tmp_path / "home"), spool={"directory": str(spool)})
    assert (len(document["actions"]), events([document])) == (100, accepted)
    assert document["integrity"]["dropped"] == dropped


INJECTED = """
names = ("open", "sendfile", "pwritev", "write", "rename", "mkdir", "unlink", "rmdir", "ftruncate", "fstat", "lstat")
names += ("scandir",)
calls, fail_at = 0, 0
def failing(name, real):
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == fail_at: raise OSError(errno.ENOSPC, f"no space: {name}")
        return real(*arguments, **options)
    return call
def life():
    agent()
    real = {name: getattr(os, name) for name in names}
    for name in real: setattr(os, name, failing(name, real[name]))
    for step in range(400): log.log_action("step", input_data=[fail_at, step, "x" * 200])
    for name in real: setattr(os, name, real[name])
    if log.stats().dropped: time.sleep(1.01)
    for step in range(5000, 5050): log.log_action("step", input_data=[fail_at, step])
    log.finalize()
    stats = log.stats()
    os.write(1, f"{json.dumps([fail_at, [stats.calls, stats.accepted, stats.dropped]])}{os.linesep}".encode())
    os._exit(calls if fail_at == 0 else 0)
def in_a_child():
    child = os.fork()
    if child == 0: life()
    return child
total = os.waitstatus_to_exitcode(os.waitpid(in_a_child(), 0)[1])
children = []
for fail_at in range(1, total + 1): children.append(in_a_child())
for child in children: assert os.waitpid(child, 0)[1] == 0
"""


async def test_an_error_of_any_one_call_to_the_system_is_survived():
    status, out, err = run(AGENT + INJECTED)
    assert (status, "Traceback" in err) == (0, False), err
    reports = dict(map(json.loads, out.splitlines()))
    assert len(reports) > 30  # the calls that begin a spool, and those of at least one change of segments
    assert sum(bool(dropped) for _, _, dropped in reports.values()) > 5
    documents = {document["actions"][0]["input_data"][0]: document for document in await stored_documents()}
    assert len(documents) == len(reports)
    for number, reported in reports.items():
        _, accepted, dropped = counts(reported)
        document = documents[number]
        assert events([document]) == accepted
        assert document["integrity"]["dropped"] == dropped
        steps = [action["input_data"][1] for action in document["actions"]]
        assert [step for step in steps if step >= 5000] == list(range(5000, 5050))


async def test_a_limit_on_the_size_of_files_is_an_error_and_no_signal():
    code = """
agent(); steps(0, 10)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
steps(10, 2000)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
steps(5000, 50); log.finalize(); report()
"""
    status, out, err = run(AGENT + code)
    assert status == 0, err
    _, accepted, dropped = counts(out.splitlines()[-1])
    assert set(dropped) == {"io_error"}
    (document,) = await stored_documents()
    assert (document["state"], events([document])) == ("complete", accepted)
    assert document["integrity"]["dropped"] == dropped


@pytest.mark.parametrize("publish", ["internal", "external"])
async def test_no_descriptor_left_for_a_while_loses_nothing_uncounted(publish):
    code = """
SETTINGS["publish"] = sys.argv[1]
agent()
def exhausted():
    held = []
    try:
        while True: held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError: return held
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = exhausted()
steps(0, 50)
for fd in held: os.close(fd)
time.sleep(1.1)
steps(100, 50)
time.sleep(0.5)
held = exhausted()
steps(200, 2000)
log.close(0.2)
for fd in held: os.close(fd)
time.sleep(1.1)
steps(5000, 50); log.finalize(); report()
"""
    status, out, err = run(AGENT + code, publish)
    assert status == 0, err
    assert "Traceback" not in err
    _, accepted, dropped = counts(out.splitlines()[-1])
    assert dropped.get("io_error", 0) >= 50
    (document,) = await stored_documents()
    assert (document["state"], events([document])) == ("complete", accepted)
    assert document["integrity"]["dropped"] == dropped


@as_root
async def test_a_directory_that_may_not_be_written_is_told_once_and_every_event_counted(tmp_path):
    (tmp_path / "theirs").mkdir(mode=0o755)
    code = """
agent(); os.setuid(65534); steps(0, 100); log.finalize(); report()
"""
    tmp_path.chmod(0o755)
    status, out, err = run(AGENT + code, env={**os.environ, "SPOOL": str(tmp_path / "theirs" / "spool")})
    assert status == 0, err
    calls, accepted, dropped = counts(out.splitlines()[-1])
    assert accepted == 0
    assert sum(dropped.values()) == calls
    assert "ermission denied" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("publish", ["companion", "internal", "external"])
async def test_a_spool_deleted_under_a_running_process_is_begun_again(publish, tmp_path):
    """The bus is elsewhere. What the segment in use held is saved; so with this little, nothing is lost."""
    spool, home = tmp_path / "spool", str(tmp_path / "home")
    code = """
SETTINGS["publish"] = sys.argv[1]
agent(); steps(0, 10); print("begun", flush=True)
sys.stdin.readline()
steps(10, 10)
deadline = time.monotonic() + 20
while not glob.glob(os.environ["SPOOL"] + "/*"): assert time.monotonic() < deadline; time.sleep(0.01)
steps(20, 1000); log.finalize(); report()
"""
    environment = {**os.environ, "SPOOL": str(spool), "TAILRACE_HOME": home}
    with start(AGENT + code, publish, env=environment) as process:
        assert process.stdout.readline() == "begun\n"
        shutil.rmtree(spool.rename(tmp_path / "away"))
        out, err = process.communicate("on\n", timeout=60)
    assert process.returncode == 0, err
    assert "was deleted" in err
    assert "Traceback" not in err
    _, accepted, dropped = counts(out.splitlines()[-1])
    assert dropped == {}
    (document,) = await stored_documents(home=home, spool={"directory": str(spool)})
    assert document["state"] == "complete"
    assert events([document]) == accepted
    assert document["integrity"]["complete"]


@pytest.mark.parametrize("publish", ["companion", "internal", "external"])
async def test_a_segment_in_use_deleted_alone_is_begun_again(publish, tmp_path):
    """Its directory and its lock stay, so nothing but the missing name tells of it. The bus is elsewhere."""
    spool, home = tmp_path / "spool", str(tmp_path / "home")
    code = """
SETTINGS["publish"] = sys.argv[1]
def segments(): return glob.glob(os.environ["SPOOL"] + "/*/segment-*")
agent(); steps(0, 10); print("begun", flush=True)
sys.stdin.readline()
steps(10, 10)
deadline = time.monotonic() + 5
while not segments(): assert time.monotonic() < deadline; time.sleep(0.01)
steps(20, 1000); log.finalize(); report()
"""
    environment = {**os.environ, "SPOOL": str(spool), "TAILRACE_HOME": home}
    with start(AGENT + code, publish, env=environment) as process:
        assert process.stdout.readline() == "begun\n"
        (segment,) = spool.glob("*/segment-*")
        segment.unlink()
        out, err = process.communicate("on\n", timeout=60)
    assert process.returncode == 0, err
    assert "was deleted" in err
    assert "Traceback" not in err
    _, accepted, dropped = counts(out.splitlines()[-1])
    assert dropped == {}
    (document,) = await stored_documents(home=home, spool={"directory": str(spool)})
    assert document["state"] == "complete"
    assert events([document]) == accepted
    assert document["integrity"]["complete"]


async def test_doctor_says_what_is_wrong_with_each_spool_and_the_fix(embedded, tmp_path):
    home = tmp_path / "home"
    environment = {**embedded.environment, "TAILRACE_SPOOL__MAX_BYTES": "300000"}
    run(AGENT + "agent(); steps(0, 10); os._exit(0)", env=environment)
    (home / "spool" / "rejected").mkdir()
    (home / "spool" / "rejected" / "p.frames").write_bytes(b"x")
    with start(AGENT + "agent(); steps(0, 3000); report(); sys.stdin.readline()", env=environment) as process:
        _, _, dropped = counts(process.stdout.readline())
        assert dropped["spool_full"] > 0
        said = embedded.tailrace("doctor", check=False).stdout
        process.communicate("on\n", timeout=30)
    lines = [line for line in said.splitlines() if "spool" in line or "fix:" in line]
    assert any("dead" in line for line in lines)
    assert any("alive" in line for line in lines)
    assert any("tailrace ship" in line for line in lines)
    assert any("rejected" in line for line in lines)
