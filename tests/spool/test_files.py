import ntpath
import sys

from tailrace.spool.files import allow_paths


def test_paths_can_be_made_after_the_module_was_let_go_that_python_3_13_imports_for_them(monkeypatch):
    for state in (lambda: monkeypatch.delitem(sys.modules, "ntpath"), lambda: sys.modules.update(ntpath=None)):
        state()
        allow_paths()
        assert sys.modules["ntpath"] is ntpath
