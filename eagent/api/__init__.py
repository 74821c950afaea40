"""The agent's HTTP application on a unix socket: JSON for the command line, Prometheus text for scrapers."""
