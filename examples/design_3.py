"""Each agent has a logger of its own, hidden from its user; all lines meet in one run.

python examples/design_3.py
tailrace tail -a agent_a
"""

from tailrace import AgentLogger, CentralAggregator


# Usage inside an agent:
class MyAgent:
    def __init__(self, name: str):
        self.name = name
        self.logger = AgentLogger(name)

    def run_step(self, data: dict):
        self.logger.info("Starting run step", data=data)
        # do something
        self.logger.info("Completed run step")


def example():
    agent_a = MyAgent("agent_a")
    agent_b = MyAgent("agent_b")
    agent_a.run_step({"foo": 1})
    agent_b.run_step({"bar": 2})
    # flush aggregator
    CentralAggregator.instance().flush()


if __name__ == "__main__":
    example()
