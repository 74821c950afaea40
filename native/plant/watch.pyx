"""What a person who watches a simulated host sees beside its sensors. See native/plant/truth.h."""

from cython cimport final

from libc.stdint cimport uint32_t

from eagent.sim._handle cimport Handle
from plant.cpu cimport plant_host_cpu_model
from plant.host cimport plant_host_gpu_count, plant_host_t
from plant.lab cimport *
from plant.truth cimport plant_host_truth, plant_truth_t

_POWERS = ("off", "booting", "on")  # in the order of enum plant_power
_WRITES = {
    PLANT_WRITE_LIMIT: "limit", PLANT_WRITE_LOCK: "lock", PLANT_WRITE_PERSISTENCE: "persistence",
    PLANT_WRITE_CPU_MIN: "min_khz", PLANT_WRITE_CPU_MAX: "max_khz", PLANT_WRITE_CPU_GOVERNOR: "governor",
    PLANT_WRITE_CPU_EPP: "epp", PLANT_WRITE_RAPL_LIMIT: "limit_uw", PLANT_WRITE_RAPL_WINDOW: "window_us",
    PLANT_WRITE_RAPL_ENABLED: "enabled", PLANT_WRITE_POWER: "power", PLANT_WRITE_MEMORY_LOCK: "memory_lock",
    PLANT_WRITE_APPLICATION: "application_mhz", PLANT_WRITE_RESTRICTION: "open_to_anyone", PLANT_WRITE_MIG: "mig",
}


@final
cdef class Watch(Handle):
    """A handle on a host's file, as eagent.sim._plant.Host is another. It looks, and changes nothing."""

    def look(self):
        """The whole host at one instant. Power is of the last 5 ms; `writes` counts the entries of `writes()`."""
        cdef plant_host_t *host = self.open_host()
        cdef plant_truth_t truth
        cdef int code
        with nogil:
            code = plant_host_truth(host, &truth)
        self.check(code)
        gpus, packages = range(plant_host_gpu_count(host)), range(plant_host_cpu_model(host).packages)
        return {
            "time_s": truth.time_ns / 1e9, "since_s": truth.since_ns / 1e9, "power": _POWERS[truth.power],
            "writes": truth.events, "wall_w": truth.wall_w,
            "gpus": [
                {"power_w": truth.gpus[i].power_w, "temperature_c": truth.gpus[i].temperature_c,
                 "sensor_age_s": truth.gpus[i].sensor_age_ns / 1e9} for i in gpus
            ],
            "package_w": [truth.package_w[i] for i in packages],
        }

    def writes(self, uint32_t start=0):
        """The log of all writes to knobs from its `start`th entry on, at most 256 of them.

        (time_s, what, index, old, new, min_mhz, max_mhz, pid): `index` is a GPU's, a CPU's or a package's; numbers are
        as in native/plant/lab.h. Pid 0: nobody, by switching the host off or on.
        """
        cdef plant_host_t *host = self.open_host()
        cdef plant_event_t found[256]
        cdef uint32_t count = 0
        cdef int code
        with nogil:
            code = plant_host_events(host, start, found, 256, &count)
        self.check(code)
        return [(found[i].time_ns / 1e9, _WRITES.get(found[i].kind, "unknown"), found[i].gpu, found[i].old_value,
                 found[i].new_value, found[i].min_mhz, found[i].max_mhz, found[i].pid) for i in range(count)]
