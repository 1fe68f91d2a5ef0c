"""A workflow told through Python's own logging: console, files and log services get it, and tailrace has the run.

python examples/design_2.py
tailrace runs
"""

import logging

from tailrace.stdlib import WorkflowHook


def main_workflow():
    hook = WorkflowHook("my_py_logging_workflow")
    hook.start_iteration(1)
    hook.log_interaction("agent_1", "process_data", {"foo": "bar"})
    hook.end_iteration("success")
    hook.finalize()


if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s %(message)s")
    logging.getLogger("tailrace.workflow").setLevel("DEBUG")
    main_workflow()
