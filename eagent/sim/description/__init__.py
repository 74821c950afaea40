"""What a simulated host is made from: its parts, its work, what is set on it. As frozen types, and as a TOML file."""
