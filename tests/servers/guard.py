"""Runs a command that must not outlive whoever started it: `python guard.py COMMAND...`.

Orders come on standard input, one byte each: `t` terminates the command, `k` kills it. The end of the input means
that the starter is gone, however it went, and kills the command too. Ends after the command, with its exit code.
"""

import os
import subprocess
import sys
import threading


def _obey(command: subprocess.Popen[bytes]) -> None:
    while os.read(0, 1) == b"t":
        command.terminate()
    command.kill()


if __name__ == "__main__":
    command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_obey, args=(command,), daemon=True).start()
    code = command.wait()
    sys.exit(code if code >= 0 else 128 - code)
