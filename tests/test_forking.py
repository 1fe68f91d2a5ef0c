import subprocess
import sys

# Each in a process of its own: a fork here would copy the locks of the test's threads.
BEGIN = """
import os, sys, threading, time
from tailrace.forking import unforked
inside, said = threading.Event(), []

def wait_for_child(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


def run(program):
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_fork_waits_until_nobody_is_unforked():
    # The pause gives a fork that does not wait the time to overtake; one that waits cannot be made late by it.
    said = run("""
def work():
    with unforked:
        inside.set()
        time.sleep(0.2)
        said.append("left")

threading.Thread(target=work).start()
inside.wait()
child = os.fork()
if child == 0:
    print("child", *said, flush=True)
    os._exit(0)
wait_for_child(child)
print("parent", *said)
""")
    assert said == ["child", "left", "parent", "left"]


def test_both_sides_may_be_unforked_again_and_fork_again():
    said = run("""
for _ in range(2):
    child = os.fork()
    if child == 0:
        with unforked:
            pass
        grandchild = os.fork()
        if grandchild == 0:
            os._exit(7)
        os._exit(wait_for_child(grandchild))
    with unforked:
        print(wait_for_child(child))
""")
    assert said == ["7", "7"]


def test_a_child_finds_whole_what_a_thread_imported_at_the_fork(tmp_path):
    (tmp_path / "slow_module.py").write_text(
        "import __main__, time\n__main__.inside.set()\ntime.sleep(0.2)\nwhole = 'whole'\n"
    )
    said = run(f"""
sys.path.insert(0, {str(tmp_path)!r})

def work():
    with unforked:
        import slow_module

threading.Thread(target=work).start()
inside.wait()
child = os.fork()
if child == 0:
    import slow_module
    print(slow_module.whole, flush=True)
    os._exit(0)
print(wait_for_child(child))
""")
    assert said == ["whole", "0"]


def test_what_hooks_into_forks_itself_is_imported_before_any_thread_could():
    said = run("""
import concurrent.futures
print("logging" in sys.modules, "concurrent.futures.thread" in sys.modules)
""")
    assert said == ["True", "True"]
