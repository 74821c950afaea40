"""Policies: pure functions from state to proposals, and the one arbiter that chooses among them."""
