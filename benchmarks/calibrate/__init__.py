"""How well the plant agrees with published measurements: `make calibrate DATA=FOLDER`. The data are no part of eagent.

A module for each goal. Parameters are fitted to some of the runs; how good they are is read from the plant itself, on
the other runs.
"""
