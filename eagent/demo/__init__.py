"""`eagent demo`: one trace and one budget on two simulated hosts, a static split beside eagent; then all is killed."""
