"""Benchmarks: `make bench NAME=x` prints a table and writes build/figures/x.json. Run from the checkout."""
