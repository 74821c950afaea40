"""Making simulated hosts, and judging a model without one. See native/plant/{lab,sense}.h."""

import os

from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from eagent.errors import InputError

from plant.description cimport *
from plant.failure cimport check
from plant.host cimport *
from plant.lab cimport *
from plant.sense cimport *

_PERMISSIONS = {"anyone": PLANT_PERMIT_ANYONE, "root": PLANT_PERMIT_ROOT, "nobody": PLANT_PERMIT_NOBODY}
_CLOCKS = {"wall": PLANT_CLOCK_WALL, "virtual": PLANT_CLOCK_VIRTUAL}


cdef object choose(dict choices, object value, str what):
    if value not in choices:
        raise InputError(f"{what} {value!r}: must be one of {', '.join(choices)}")
    return choices[value]


def create(path, description):
    """Make a host's file. Without "cpu" in its description it has no processors to speak of, without "supply" nothing
    that draws but GPUs and processors, and it boots within a tick.

    Raises:
        InputError: the path exists, or the description describes no host.
        DriverError: the file cannot be made.
    """
    cdef plant_description_t given
    memset(&given, 0, sizeof(given))
    try:
        given.gpus = description["gpus"]
        given.seed = description["seed"]
        given.permission = choose(_PERMISSIONS, description["permission"], "permission")
        given.clock = choose(_CLOCKS, description["clock"], "clock")
        read_model(&given.model, description["model"])
        if "cpu" in description:
            read_cpu(&given.cpu, description["cpu"])
        given.supply.inlet_c, given.supply.fan_full_w = given.model.inlet_c, 1
        if "supply" in description:
            read_supply(&given.supply, description["supply"])
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise InputError(f"cannot make {path}: {type(error).__name__} in its description: {error}") from error
    encoded = os.fsencode(path)
    cdef const char *name = encoded
    cdef int code
    with nogil:
        code = plant_host_create(name, &given)
    check(code, f"cannot make {path}")


def sense(model, board, power_w, double step_s):
    """What a board's sensor makes of a recorded truth: [(time_s, instant_w, average_w or None)].

    Args:
        model: As `eagent.sim.model.load` gives it.
        board: Its "gain", "offset_w" and "phase_s"; or a seed: a perfect board with that noise and jitter.
        power_w: True mean watts of successive steps, from time 0.
        step_s: How long a step is.

    Raises:
        InputError: impossible numbers.
    """
    cdef plant_model_t given
    cdef plant_board_t one
    cdef uint32_t steps = len(power_w), count = 0, i
    if not 0 < step_s < 1e6:
        raise InputError(f"steps of {step_s:g} s: must be longer than nothing")
    read_model(&given, model)
    is_seed = isinstance(board, int)
    one.gain, one.offset_w, one.phase_s = (1, 0, 0) if is_seed else (board["gain"], board["offset_w"], board["phase_s"])
    one.seed = board if is_seed else board.get("seed", 0)
    cdef uint32_t room = <uint32_t>(steps * step_s / given.sensor_period_s) + 2
    cdef double *watts = <double *>malloc(max(steps, 1) * sizeof(double))
    cdef plant_reading_t *found = <plant_reading_t *>malloc(room * sizeof(plant_reading_t))
    try:
        if watts is NULL or found is NULL:
            raise MemoryError
        for i in range(steps):
            watts[i] = power_w[i]
        check(plant_sense(&given, &one, watts, steps, step_s, found, room, &count), "a recorded truth")
        has_average = given.average_window_s > 0
        return [(found[i].time_s, found[i].instant_w, found[i].average_w if has_average else None)
                for i in range(count)]
    finally:
        free(watts)
        free(found)
