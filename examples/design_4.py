"""The default logger is invisible; one of your own takes its place and still reaches the bus.

python examples/design_4.py
tailrace runs
"""

from tailrace import DefaultWorkflowLogger, get_workflow_logger, set_workflow_logger


class CustomJsonWorkflowLogger(DefaultWorkflowLogger):
    """
    Example override that logs to JSON in an external system.
    """

    def __init__(self, output_file: str):
        super().__init__()
        self.output_file = output_file

    def end_iteration(self, status: str):
        super().end_iteration(status)
        # now also do something custom:
        import json

        with open(self.output_file, "w") as f:
            json.dump(self.in_memory_data, f, indent=4)


# Usage:
def run_my_process():
    logger = get_workflow_logger()
    logger.start_iteration(1)
    logger.log_action("agent_1", "some_action", {"foo": "bar"})
    logger.end_iteration("success")


if __name__ == "__main__":
    # For the common user: do nothing, the default logger logs in memory
    run_my_process()

    # For advanced user: override with a custom JSON logger
    set_workflow_logger(CustomJsonWorkflowLogger("my_output.json"))
    run_my_process()
