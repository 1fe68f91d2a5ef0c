"""The consumers of tailrace: each reads topics, does one thing, and commits what it has written.

`stage` holds the interface, `runner` the one loop, `consume` what turns settings into running stages. The stages
themselves (`sample`, `aggregate`, `index`) do no I/O and know no clock.
"""
