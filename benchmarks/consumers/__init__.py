"""What the consumers reach, measured on a real Kafka and a real OpenSearch beside what people use for the same job.

    make bench-consumers                    # everything, into benchmarks/results/consumers.json
    make bench-consumers ARGS=--quick       # a look; too short to publish
    make bench-consumers ARGS='--only job,index'

The job to compare on (`job`): JSON events of about 700 B, 1,000 runs open at once, 50 events a run, one document out a
run. Quix Streams and Bytewax do it in environments of their own, with code as their users would write it (`peers/`).
Each measurement is a fresh process; it begins with the first batch that reaches the code and ends when everything that
came of the last event is written and committed. Figures of different runs are not to be compared. Linux only.
"""
