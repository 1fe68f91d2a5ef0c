"""Long runs against real Kafka that count: an accepted event is in its document once, however a process dies."""
