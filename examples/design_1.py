"""The invisible logger: nothing to set up, nothing to start, and a file with the whole run at the end.

python examples/design_1.py
tailrace runs
"""


def example_usage():
    from tailrace import configure_logger, get_logger

    # Next line is optional—if not called, a default logger is created
    configure_logger(workflow_name="my_invisible_workflow", logs_dir="logs", verbosity="DEBUG")

    logger = get_logger()
    logger.start_iteration(1)
    logger.start_interaction("agent_a", input_data={"some": "data"})
    logger.log_action("action_foo", input_data="foo", output_data="bar")
    logger.end_interaction(output_data={"some_output": True})
    logger.end_iteration("success")
    logger.finalize()


if __name__ == "__main__":
    example_usage()
