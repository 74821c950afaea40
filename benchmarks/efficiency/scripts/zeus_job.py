"""A job under Zeus' GlobalPowerLimitOptimizer, unmodified, as its documentation has it. Its settings: see steps.py."""

import json
import sys
import types

import steps
from zeus.monitor import ZeusMonitor
from zeus.optimizer.power_limit import Done, GlobalPowerLimitOptimizer, MaxSlowdownConstraint


class Distributed:
    """The job is not."""

    def is_available(self):
        """No."""
        return False


class Cuda:
    """What Zeus asks of the framework before it reads a counter."""

    def is_available(self):
        """There is a GPU."""
        return True

    def synchronize(self, device):
        """A step ends when its work has, so there is nothing to wait for."""


def framework():
    """What stands for PyTorch: Zeus refuses to work without a framework, and the work here is none of PyTorch's."""
    torch = types.ModuleType("torch")
    torch.cuda, torch.distributed = Cuda(), Distributed()
    return torch


def main():
    """Wait for a line, so that all jobs begin at once; then work, for one epoch: its end breaks a measurement off."""
    sys.modules["torch"] = framework()  # only now: what Zeus imports would ask it for more
    settings = json.loads(sys.argv[1])
    monitor = ZeusMonitor(gpu_indices=[settings["gpu"]], cpu_indices=[])
    optimizer = GlobalPowerLimitOptimizer(monitor, MaxSlowdownConstraint(1 + settings["bound"]))
    print("ready", flush=True)
    sys.stdin.readline()
    optimizer.on_epoch_begin()
    optimizer.on_step_begin()

    def step_done():
        optimizer.on_step_end()
        optimizer.on_step_begin()

    came = steps.work(sys.argv[1], step_done)
    optimizer.on_epoch_end()
    chosen_w = optimizer.state.optimal_power_limit / 1000 if isinstance(optimizer.state, Done) else None
    print(json.dumps({**came, "chosen": chosen_w}), flush=True)


if __name__ == "__main__":
    main()
