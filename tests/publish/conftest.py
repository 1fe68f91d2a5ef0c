import os
import signal

import pytest

from tests.publish.accompanied import companion_process


@pytest.fixture
def home_of_its_own(tmp_path, monkeypatch):
    """The current directory; no companion is left behind in it."""
    monkeypatch.chdir(tmp_path)
    yield
    if (companion := companion_process()) is not None:
        os.kill(companion, signal.SIGKILL)
