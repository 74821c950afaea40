"""Tell eagent that your job has done N more steps (1 without N), so that it can save energy and keep the job's pace.

For a loop in a shell. It counts for the job that the shell began: of the shell's children, those that hold GPUs. From
Python `eagent.beat()` is a thousand times cheaper.

Examples:
  while train-one-epoch; do eagent beat; done
  eagent beat 512 --unit image --name resnet50
"""

from __future__ import annotations

import argparse
import sys

from eagent.asking import START, socket_path
from eagent.cli.dispatch import Context
from eagent.client import Client


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent beat`."""
    parser.add_argument("n", metavar="N", nargs="?", type=float, default=1.0, help="how many more; 1 by default")
    parser.add_argument("--unit", default="step", help="what they are, such as token")
    parser.add_argument("--name", default="", help="what the job is called, so that it is known again in its next run")


def run(args: argparse.Namespace, context: Context) -> int:  # noqa: ARG001
    """Tell."""
    client = Client(socket_path(), start=START, own="ask who runs this host")
    told = client.request("POST", "/v1/beat", {"n": args.n, "unit": args.unit, "name": args.name})
    if not told["counts"]:
        print("eagent: no process of this shell's holds a GPU yet: not counted", file=sys.stderr)
    return 0
