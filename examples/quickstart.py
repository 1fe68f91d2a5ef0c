"""The founding example on tailrace: nothing to set up, nothing to start.

    python examples/quickstart.py
    tailrace runs

The next line is optional: without it a default logger is made.
"""

from tailrace import configure_logger, get_logger

configure_logger(workflow_name="my_invisible_workflow", logs_dir="logs", verbosity="DEBUG")

logger = get_logger()
logger.start_iteration(1)
logger.start_interaction("agent_a", input_data={"some": "data"})
logger.log_action("action_foo", input_data="foo", output_data="bar")
logger.end_interaction(output_data={"some_output": True})
logger.end_iteration("success")
logger.finalize()
