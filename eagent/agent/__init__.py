"""The unprivileged process: drains the ring, decides, and asks the warden for what it decided."""
