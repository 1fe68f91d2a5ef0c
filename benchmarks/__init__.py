"""What a logging call costs, measured side by side with the cheapest call there could be and with what people use.

    make bench                       # everything, into benchmarks/results/latest.json (about half an hour)
    make bench ARGS=--quick          # a look (about two minutes); too short to publish
    python -m benchmarks --help

Figures of different runs, or of different machines, are not to be compared: only ratios within one run are.

`peers/` holds one way to log an event each, `measure/` what is measured of it; a `worker` process measures one peer
once; `memory` readies the machine, `run` goes through all in shuffled rounds; `targets` judges them together, `report`
prints them. Linux only.
"""
