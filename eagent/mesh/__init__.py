"""The mesh: what hosts tell each other, and how a budget is kept among them without a leader.

All but the transport is sans-IO and deterministic: no clock, no file, no socket; time and chance are arguments.
"""
