"""The BMC of a simulated host: its switch, its meter at the wall, and the record of both. See native/plant/wall.h."""

from cython cimport final

from libc.stdint cimport uint32_t

from eagent.sim._handle cimport Handle
from plant.host cimport plant_host_t
from plant.lab cimport PLANT_WRITE_POWER, plant_event_t, plant_host_events
from plant.wall cimport *

cdef int BATCH = 256  # log entries fetched at a time

_POWERS = ("off", "booting", "on")  # in the order of enum plant_power


@final
cdef class Bmc(Handle):
    """A handle on a host's file, as eagent.sim._plant.Host is another. It answers whether the host is on or not."""

    cdef plant_wall_t look(self) except *:
        cdef plant_host_t *host = self.open_host()
        cdef plant_wall_t wall
        cdef int code
        with nogil:
            code = plant_host_wall(host, &wall)
        self.check(code)
        return wall

    def switch_on(self):
        """Begin to boot; nothing if it is not off."""
        self.check(plant_host_switch_on(self.open_host()))

    def switch_off(self):
        """Cut the power: at once, whatever runs. Nothing if it is off."""
        self.check(plant_host_switch_off(self.open_host()))

    @property
    def power(self):
        """"off", "booting" or "on"."""
        return _POWERS[self.look().power]

    @property
    def boot(self):
        """The number of the present boot, or of the last one while the host is off; the first is 1."""
        return self.look().boot

    @property
    def boot_id(self):
        """The id of that boot, as its kernel shows it or will show it."""
        return self.look().boot_id.decode()

    @property
    def supply(self):
        """What the host was made to draw beside GPUs and processors, as eagent.sim.supply explains it."""
        return plant_host_supply(self.open_host())[0]

    @property
    def power_w(self):
        """What the whole host draws from the wall now: simulated watts, without a sensor's error."""
        return self.look().power_w

    def spent(self):
        """Of each state, for how long the host has been in it, and what it drew then: (seconds, simulated joules)."""
        cdef plant_wall_t wall = self.look()
        return {name: (wall.time_ns[i] / 1e9, wall.energy_j[i]) for i, name in enumerate(_POWERS)}

    def power_log(self):
        """True mean watts at the wall, in any state: row i for 0.1 i to 0.1 (i + 1) seconds since the host was made."""
        cdef plant_host_t *host = self.open_host()
        cdef float found[1024]
        cdef uint32_t count = 0, start = 0, i
        cdef int code
        out = []
        while True:
            with nogil:
                code = plant_host_wall_log(host, start, found, 1024, &count)
            self.check(code)
            out += [(found[i],) for i in range(count)]
            start += count
            if count == 0:
                return out

    def power_changes(self):
        """Each change of state: (time_s, state), the first of them (0.0, "on")."""
        cdef plant_host_t *host = self.open_host()
        cdef plant_event_t found[256]
        cdef uint32_t count = 0, start = 0, i
        cdef int code
        out = [(0.0, "on")]
        while True:
            with nogil:
                code = plant_host_events(host, start, found, BATCH, &count)
            self.check(code)
            for i in range(count):
                if found[i].kind == PLANT_WRITE_POWER:
                    number = found[i].new_value
                    out.append((found[i].time_ns / 1e9, _POWERS[number] if number < len(_POWERS) else "unknown"))
            start += count
            if count == 0:
                return out
