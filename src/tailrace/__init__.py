"""tailrace: a workflow logger for LLM agents."""
