"""The same job, which tells eagent of its steps. Its settings: see steps.py."""

import json
import sys

import steps

import eagent


def main():
    """Wait for a line, so that all jobs begin at once; then work."""
    print("ready", flush=True)
    sys.stdin.readline()
    name = json.loads(sys.argv[1])["name"]
    print(json.dumps(steps.work(sys.argv[1], lambda: eagent.beat(name=name))), flush=True)


if __name__ == "__main__":
    main()
