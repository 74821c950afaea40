"""The policy `latency` beside the best clock for each load that hindsight knows, a static lock, and full clocks."""
