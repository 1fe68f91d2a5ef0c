"""The consumers on real Kafka while they, their group, their input and their servers fail.

An oracle that has seen neither Kafka nor a stage says what must come out: the runs of `load` as their own events make
them. `verdict` counts what is otherwise. Each scenario takes its length as a parameter: the tests here are short,
`make soak-consumers` is long.
"""
