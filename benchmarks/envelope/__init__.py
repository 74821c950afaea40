"""A device envelope on a simulated 8 x H100: cut in real time, and shared under a demand that wanders in virtual time.

    make bench NAME=envelope

All watts are simulated. What each part does and how it is measured stands in cut.py and share.py.
"""
