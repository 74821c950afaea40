"""How well and how cheaply GPU sensors are sampled: eagent beside the programs that others use for it.

make bench NAME=sampling                 every part
make bench NAME=sampling ARGS=pareto     one of them

The method, and the last run's table, are in docs/sampling.md. All hosts, watts and joules are simulated.
"""
