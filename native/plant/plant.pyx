"""A simulated host: the state behind driver and kernel, and the lab around it. See native/plant/{host,cpu,lab}.h."""

import os

from cython cimport final

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from eagent.errors import InputError

from eagent.sim._handle cimport Handle
from plant.cpu cimport *
from plant.description cimport to_milli
from plant.failure cimport check
from plant.host cimport *
from plant.lab cimport *
from plant.readings cimport *
from plant.wall cimport *

cdef int64_t SLICE_NS = 60_000_000_000  # a long advance answers Ctrl-C between slices of simulated time
cdef int64_t TICK_NS = 5_000_000
cdef int BATCH = 1024  # log entries fetched at a time

_PERMISSIONS = ("anyone", "root", "nobody")  # in the order of enum plant_permission
_CLOCKS = ("wall", "virtual")
_DRIVERS = ("acpi-cpufreq", "intel_pstate")  # in the order of enum plant_cpufreq
_POWERCAPS = ("intel-rapl", "intel-rapl-mmio", "amd")
_GOVERNORS = ("performance", "powersave", "schedutil", "ondemand", "conservative")
_CPU_WRITES = {
    PLANT_WRITE_CPU_MIN: "min_khz", PLANT_WRITE_CPU_MAX: "max_khz", PLANT_WRITE_CPU_GOVERNOR: "governor",
    PLANT_WRITE_CPU_EPP: "epp", PLANT_WRITE_RAPL_LIMIT: "limit_uw", PLANT_WRITE_RAPL_WINDOW: "window_us",
    PLANT_WRITE_RAPL_ENABLED: "enabled",
}
_LATENCIES = ("first token", "between tokens", "whole request")  # in the order of enum plant_latency
_KINDS = {PLANT_LOAD_SQUARE: "square", PLANT_LOAD_GANG: "gang", PLANT_LOAD_SERVING: "serving"}


cdef int answer(int code, str what) except -1:
    """Turn the -errno of a simulated kernel into the OSError that a client of the kernel gets."""
    if code == 0:
        return 0
    raise OSError(-code, f"{what}: {os.strerror(-code)}")


cdef int64_t to_ns(double seconds) except? -1:
    if not -1e9 < seconds < 1e9:
        raise InputError(f"{seconds!r} s: not a time that a simulation reaches")
    return <int64_t>(seconds * 1e9 + (0.5 if seconds >= 0 else -0.5))


@final
cdef class Readings:
    """What changes about the GPUs of a host and its driver shows; keys and units as in native/plant/host.h.

    Each column is a memoryview with a number for each GPU, which shows what was read last.
    """

    cdef plant_readings_t taken
    cdef uint32_t gpus

    cdef object column(self, void *place, Py_ssize_t size, str kind):
        cdef _Column column = _Column.__new__(_Column)
        column.readings, column.place, column.size = self, place, size * self.gpus
        return memoryview(column).cast(kind)

    @property
    def is_there(self):
        """Whether the host was on. If it was not, the columns show what was read before."""
        return bool(self.taken.is_there)

    @property
    def sensor_time_us(self):
        return self.column(self.taken.sensor_time_us, sizeof(uint64_t), "Q")

    @property
    def energy_mj(self):
        return self.column(self.taken.energy_mj, sizeof(uint64_t), "Q")

    @property
    def event_reasons(self):
        return self.column(self.taken.event_reasons, sizeof(uint64_t), "Q")

    @property
    def power_plain_mw(self):
        return self.column(self.taken.power_plain_mw, sizeof(uint32_t), "I")

    @property
    def sm_clock_mhz(self):
        return self.column(self.taken.sm_clock_mhz, sizeof(uint32_t), "I")

    @property
    def temperature_c(self):
        return self.column(self.taken.temperature_c, sizeof(uint32_t), "I")

    @property
    def gpu_utilisation_pct(self):
        return self.column(self.taken.gpu_utilisation_pct, sizeof(uint32_t), "I")

    @property
    def memory_utilisation_pct(self):
        return self.column(self.taken.memory_utilisation_pct, sizeof(uint32_t), "I")


@final
cdef class _Column:
    """A column of readings, which it keeps alive."""

    cdef Readings readings
    cdef void *place
    cdef Py_ssize_t size

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.place, self.size, True, flags)


@final
cdef class Host(Handle):
    """A handle on a host's file. Any number of processes may hold one; each sees the same state."""

    @property
    def gpu_count(self):
        return plant_host_gpu_count(self.open_host())

    @property
    def gpu_name(self):
        return plant_host_gpu_name(self.open_host()).decode()

    @property
    def permission(self):
        """Who may set knobs: "anyone", "root" or "nobody". The simulated driver asks it, this class does not."""
        return _PERMISSIONS[<uint32_t>plant_host_permission(self.open_host())]

    @property
    def clock(self):
        return _CLOCKS[<uint32_t>plant_host_clock(self.open_host())]

    @property
    def time_s(self):
        """Simulated seconds since the host was made; integrates up to now."""
        return self.now_ns() / 1e9

    @property
    def boot_unix_s(self):
        """When the host last came up, which at first is simulated time 0: seconds since 1970."""
        cdef uint64_t unix_us = 0
        check(plant_host_boot_us(self.open_host(), &unix_us), self.path)
        return unix_us / 1e6

    @property
    def boot_id(self):
        """As the kernel shows it; None while no kernel runs, because the host is off or boots."""
        cdef plant_wall_t wall
        check(plant_host_wall(self.open_host(), &wall), self.path)
        return wall.boot_id.decode() if wall.power == PLANT_POWER_ON else None

    cdef int64_t now_ns(self) except -1:
        cdef plant_host_t *host = self.open_host()
        cdef int64_t now = 0
        cdef int code
        with nogil:
            code = plant_host_time(host, &now)
        check(code, self.path)
        return now

    def advance(self, double to_s, Readings readings=None):
        """Move a virtual clock to `to_s` seconds since the host was made; and take `readings` then, if given."""
        cdef plant_host_t *host = self.open_host()
        cdef plant_readings_t *taken = &readings.taken if readings is not None else NULL
        cdef int64_t target = to_ns(to_s), now = -1
        cdef int code
        while now != target:
            with nogil:
                code = plant_host_advance(host, target, SLICE_NS, &now, taken)
            check(code, f"{self.path}: cannot advance to {to_s} s" if code else "")
            PyErr_CheckSignals()

    def readings(self):
        """What the driver shows of all GPUs now, to be filled again by `Host.read` or `Host.advance`."""
        cdef Readings readings = Readings.__new__(Readings)
        readings.gpus = plant_host_gpu_count(self.open_host())
        self.read(readings)
        return readings

    def read(self, Readings readings not None):
        """Take readings again."""
        cdef plant_host_t *host = self.open_host()
        cdef int code
        with nogil:
            code = plant_host_readings(host, &readings.taken)
        check(code, self.path)

    def view(self, uint32_t gpu):
        """All that a client of the driver can see of one GPU; keys and units as in native/plant/host.h."""
        cdef plant_host_t *host = self.open_host()
        cdef plant_gpu_view_t view
        cdef int code
        with nogil:
            code = plant_host_view(host, gpu, &view)
        check(code, f"{self.path}: gpu {gpu}")
        seen = dict(view)
        seen["name"], seen["uuid"] = view.name.decode(), view.uuid.decode()
        seen["pids"] = tuple(view.pids[i] for i in range(view.pid_count))
        return seen

    def set_power_limit(self, uint32_t gpu, double watts):
        check(plant_host_set_power_limit(self.open_host(), gpu, to_milli(watts)), f"gpu {gpu}: power limit {watts:g} W")

    def lock_clocks(self, uint32_t gpu, uint32_t min_mhz, uint32_t max_mhz):
        code = plant_host_lock_clocks(self.open_host(), gpu, min_mhz, max_mhz)
        check(code, f"gpu {gpu}: clocks {min_mhz} to {max_mhz} MHz")

    def reset_clocks(self, uint32_t gpu):
        check(plant_host_reset_clocks(self.open_host(), gpu), f"gpu {gpu}: reset clocks")

    def set_persistence(self, uint32_t gpu, uint32_t mode):
        check(plant_host_set_persistence(self.open_host(), gpu, mode), f"gpu {gpu}: persistence mode {mode}")

    def start_square(self, gpus, double at_s, double period_s, double duty, double compute, double memory,
                     double compute_fraction, uint32_t pid=0):
        """Busy for `duty` of each period. Begins at `at_s`, or now if that has passed; stays until `stop_load`."""
        cdef plant_square_t square = plant_square_t(period_s, duty, compute, memory, compute_fraction)
        code = plant_host_start_square(self.open_host(), self.mask(gpus), to_ns(at_s), pid, &square)
        check(code, f"square wave on gpus {list(gpus)}")

    def start_gang(self, gpus, double at_s, double step_s, double compute, double memory, double compute_fraction,
                   double imbalance, double spin_compute, double spin_memory, uint32_t pid=0, double host_s=0):
        """A synchronous job: in each step every GPU does its share, then spins until the slowest has.

        And stands still until each GPU's processor has done `host_s` of work, as at full CPU clock.
        """
        cdef plant_gang_t gang = plant_gang_t(
            step_s, imbalance, compute, memory, compute_fraction, spin_compute, spin_memory, host_s)
        code = plant_host_start_gang(self.open_host(), self.mask(gpus), to_ns(at_s), pid, &gang)
        check(code, f"gang on gpus {list(gpus)}")

    def start_serving(self, double at_s, requests, *, gpus=(), double prefill_s_per_token, double prefill_compute,
                      double prefill_memory, double prefill_compute_fraction, double decode_s,
                      double decode_s_per_sequence, double decode_s_per_context_token, double decode_compute,
                      double decode_memory, double decode_compute_fraction, uint32_t batch_max, uint32_t pid=0,
                      double host_s=0):
        """An engine on each GPU that `gpus` or a request names; requests as of `add_requests`."""
        cdef plant_serving_t serving = plant_serving_t(
            prefill_s_per_token, prefill_compute, prefill_memory, prefill_compute_fraction, decode_s,
            decode_s_per_sequence, decode_s_per_context_token, decode_compute, decode_memory, decode_compute_fraction,
            batch_max, host_s)
        cdef plant_host_t *host = self.open_host()
        cdef uint32_t mask = self.mask(gpus) if gpus or not requests else 0
        cdef uint32_t count = len(requests)
        cdef int64_t at_ns = to_ns(at_s)
        cdef plant_request_t *table = self.read_requests(requests)
        cdef int code
        with nogil:
            code = plant_host_start_serving(host, mask, at_ns, pid, &serving, table, count)
        free(table)
        check(code, "serving")

    def add_requests(self, double at_s, requests):
        """More for engines that run. Requests: (arrival_s after `at_s`, gpu, context, tokens to make), sorted."""
        cdef plant_host_t *host = self.open_host()
        cdef uint32_t count = len(requests)
        cdef int64_t at_ns = to_ns(at_s)
        cdef plant_request_t *table = self.read_requests(requests)
        cdef int code
        with nogil:
            code = plant_host_add_requests(host, at_ns, table, count)
        free(table)
        check(code, "requests")

    cdef plant_request_t *read_requests(self, requests) except NULL:
        """A table of them, to be freed by who asked."""
        cdef plant_request_t *table = <plant_request_t *>malloc((len(requests) + 1) * sizeof(plant_request_t))
        if table is NULL:
            raise MemoryError
        try:
            self.fill(table, requests)
        except BaseException:
            free(table)
            raise
        return table

    cdef int fill(self, plant_request_t *table, requests) except -1:
        cdef int64_t last = 0
        cdef uint32_t gpus = plant_host_gpu_count(self.host)
        for i, (arrival_s, gpu, context, generated) in enumerate(requests):
            table[i].arrival_ns = to_ns(arrival_s)
            if table[i].arrival_ns < last:
                raise InputError(f"request {i}: arrives at {arrival_s} s, before the one before it; sort by arrival")
            if not 0 <= gpu < gpus:
                raise InputError(f"request {i}: no gpu {gpu}")
            if not (0 < context <= 1 << 24 and 0 < generated <= 1 << 24):
                raise InputError(f"request {i}: {context} and {generated} tokens; each must be 1 to 2^24")
            table[i].gpu, table[i].context_tokens, table[i].generated_tokens = gpu, context, generated
            last = table[i].arrival_ns
        return 0

    def stop_load(self, gpus=None):
        """End all loads, also those that have not begun; with `gpus` only those that are on one of them."""
        check(plant_host_stop(self.open_host(), 0xFFFFFFFF if gpus is None else self.mask(gpus)), self.path)

    cdef uint32_t mask(self, gpus) except 0:
        cdef uint32_t bits = 0, count = plant_host_gpu_count(self.open_host())
        for gpu in gpus:
            if not 0 <= gpu < count:
                raise InputError(f"no gpu {gpu}: the host has {count}")
            bits |= 1u << <uint32_t>gpu
        if bits == 0:
            raise InputError("a load needs at least one gpu")
        return bits

    def progress(self):
        """What each load has done, ended ones included."""
        cdef plant_host_t *host = self.open_host()
        cdef plant_progress_t found[16]
        cdef uint32_t count = 0
        cdef int code
        with nogil:
            code = plant_host_progress(host, found, 16, &count)
        check(code, self.path)
        return [describe(&found[i]) for i in range(count)]

    def engine(self, uint32_t gpu):
        """What the serving engine on a GPU tells of itself; see native/plant/lab.h. Its latencies: by kind, the upper
        bounds in seconds, the count of each bucket alone, one more than there are bounds, and their sum in seconds."""
        cdef plant_host_t *host = self.open_host()
        cdef plant_engine_view_t view
        cdef int code
        with nogil:
            code = plant_host_engine(host, gpu, &view)
        check(code, f"gpu {gpu}: its serving engine" if code else "")
        return {
            "running": view.running, "waiting": view.waiting, "prompt_tokens": view.prompt_tokens,
            "tokens": view.tokens, "requests_done": view.requests_done,
            "latencies": {kind: latencies(number, &view.latencies[number]) for number, kind in enumerate(_LATENCIES)},
        }

    def served(self):
        """Per request, in the order given: (arrival_s, first_token_s or None, done_s or None), simulated seconds."""
        return [(request["arrival_ns"] / 1e9, moment(request["first_token_ns"]), moment(request["done_ns"]))
                for request in self.all_requests()]

    def lost(self):
        """The places in `served()` of those requests that switching the host off has left without an answer."""
        return [place for place, request in enumerate(self.all_requests()) if request["lost"]]

    cdef list all_requests(self):
        cdef plant_host_t *host = self.open_host()
        cdef plant_request_t found[1024]
        cdef uint32_t count = 0, start = 0
        cdef int code
        out = []
        while True:
            with nogil:
                code = plant_host_requests(host, start, found, BATCH, &count)
            check(code, self.path)
            out += [found[i] for i in range(count)]
            start += count
            if count == 0:
                return out

    def limit_log(self):
        """Every power limit set: (time_s, gpu, old_w, new_w, pid). Pid 0, nobody: to 0 when the host goes off, from 0
        to the default when it is on again."""
        return [(e["time_ns"] / 1e9, e["gpu"], e["old_value"] / 1e3, e["new_value"] / 1e3, e["pid"])
                for e in self.all_events() if e["kind"] == PLANT_WRITE_LIMIT]

    def lock_log(self):
        """Every clock lock: (time_s, gpu, min_mhz, max_mhz, pid); both 0 for a reset; pid 0 if by going off."""
        return [(e["time_ns"] / 1e9, e["gpu"], e["min_mhz"], e["max_mhz"], e["pid"])
                for e in self.all_events() if e["kind"] == PLANT_WRITE_LOCK]

    cdef list all_events(self):
        cdef plant_host_t *host = self.open_host()
        cdef plant_event_t found[1024]
        cdef uint32_t count = 0, start = 0
        cdef int code
        out = []
        while True:
            with nogil:
                code = plant_host_events(host, start, found, BATCH, &count)
            check(code, self.path)
            out += [found[i] for i in range(count)]
            start += count
            if count == 0:
                return out

    def power_log(self):
        """True mean watts: row i holds one number per GPU, for 0.1 i to 0.1 (i + 1) seconds since the host was made."""
        cdef plant_host_t *host = self.open_host()
        cdef float found[1024][16]
        cdef uint32_t count = 0, start = 0
        cdef int code
        gpus = range(plant_host_gpu_count(host))
        out = []
        while True:
            with nogil:
                code = plant_host_power_log(host, start, found, BATCH, &count)
            check(code, self.path)
            out += [tuple([found[i][gpu] for gpu in gpus]) for i in range(count)]
            start += count
            if count == 0:
                return out

    def energy_true_j(self, uint32_t gpu):
        """Joules that the GPU has really drawn, in the model, since the host was made."""
        cdef plant_host_t *host = self.open_host()
        cdef double energy = 0
        cdef int code
        with nogil:
            code = plant_host_energy_true(host, gpu, &energy)
        check(code, f"{self.path}: gpu {gpu}")
        return energy

    def power_true_w(self, uint32_t gpu, time_s=None):
        """Watts that the GPU really draws at an instant within the last 5 ms that are integrated, without one at their
        end."""
        cdef int64_t at_ns = self.now_ns() // TICK_NS * TICK_NS if time_s is None else to_ns(time_s)
        cdef double watts = 0
        check(plant_host_power_true(self.open_host(), gpu, at_ns, &watts), f"{self.path}: gpu {gpu} at {at_ns} ns")
        return watts

    def samples(self, uint32_t gpu, uint64_t after_us=0):
        """The driver's sample buffer, oldest first; keys and units as in native/plant/host.h."""
        cdef plant_sample_t found[120]
        cdef uint32_t count = 0, i
        check(plant_host_samples(self.open_host(), gpu, after_us, found, &count), f"{self.path}: gpu {gpu}")
        return [found[i] for i in range(count)]

    @property
    def processor(self):
        """What the host's processors are, or None for a host made without."""
        cdef plant_cpu_model_t model = plant_host_cpu_model(self.open_host())[0]
        if model.packages == 0:
            return None
        is_pstate = _DRIVERS[model.driver] == "intel_pstate"
        return {
            "name": model.name.decode(), "driver": _DRIVERS[model.driver], "powercap": _POWERCAPS[model.powercap],
            "packages": model.packages, "cores": model.cores, "min_khz": model.min_khz, "max_khz": model.max_khz,
            "governors": _GOVERNORS[:2] if is_pstate else _GOVERNORS, "has_epp": is_pstate,
            "energy_range_uj": model.energy_range_uj, "limit_max_uw": tuple(model.limit_max_uw),
        }

    def cpu_view(self, uint32_t cpu):
        """One CPU, which is one core and one cpufreq policy; keys and units as in native/plant/cpu.h."""
        cdef plant_cpu_view_t view
        check(plant_host_cpu_view(self.open_host(), cpu, &view), f"{self.path}: cpu {cpu}")
        return {**view, "governor": _GOVERNORS[view.governor]}

    def rapl_view(self, uint32_t package):
        """The energy counters and power limits of one package; keys and units as in native/plant/cpu.h."""
        cdef plant_rapl_view_t view
        check(plant_host_rapl_view(self.open_host(), package, &view), f"{self.path}: package {package}")
        return {**view, "limit_uw": tuple(view.limit_uw), "window_us": tuple(view.window_us)}

    def set_cpu_min_khz(self, uint32_t cpu, uint32_t khz, uint32_t pid=0):
        answer(plant_host_set_cpu(self.open_host(), cpu, PLANT_WRITE_CPU_MIN, khz, pid), f"cpu {cpu}: {khz} kHz")

    def set_cpu_max_khz(self, uint32_t cpu, uint32_t khz, uint32_t pid=0):
        answer(plant_host_set_cpu(self.open_host(), cpu, PLANT_WRITE_CPU_MAX, khz, pid), f"cpu {cpu}: {khz} kHz")

    def set_cpu_governor(self, uint32_t cpu, governor, uint32_t pid=0):
        cdef uint32_t number = _GOVERNORS.index(governor) if governor in _GOVERNORS else len(_GOVERNORS)
        answer(plant_host_set_cpu(self.open_host(), cpu, PLANT_WRITE_CPU_GOVERNOR, number, pid),
               f"cpu {cpu}: governor {governor!r}")

    def set_cpu_epp(self, uint32_t cpu, uint32_t epp, uint32_t pid=0):
        answer(plant_host_set_cpu(self.open_host(), cpu, PLANT_WRITE_CPU_EPP, epp, pid), f"cpu {cpu}: EPP {epp}")

    def set_rapl_limit_uw(self, uint32_t package, uint32_t constraint, uint64_t uw, uint32_t pid=0):
        answer(plant_host_set_rapl(self.open_host(), package, PLANT_WRITE_RAPL_LIMIT, constraint, uw, pid),
               f"package {package}: limit {constraint}: {uw} uW")

    def set_rapl_window_us(self, uint32_t package, uint32_t constraint, uint64_t us, uint32_t pid=0):
        answer(plant_host_set_rapl(self.open_host(), package, PLANT_WRITE_RAPL_WINDOW, constraint, us, pid),
               f"package {package}: window {constraint}: {us} us")

    def set_rapl_enabled(self, uint32_t package, bint enabled, uint32_t pid=0):
        answer(plant_host_set_rapl(self.open_host(), package, PLANT_WRITE_RAPL_ENABLED, 0, enabled, pid),
               f"package {package}: enable limits")

    def cpu_log(self):
        """Every write to cpufreq and RAPL: (time_s, what, CPU or package, constraint, old, new, pid), `what` as in
        cpu_view and rapl_view; frequencies as requested."""
        def named(what, value):
            return _GOVERNORS[value] if what == "governor" and value < len(_GOVERNORS) else value
        return [(e["time_ns"] / 1e9, what, e["gpu"], e["constraint"], named(what, e["old_value"]),
                 named(what, e["new_value"]), e["pid"])
                for e in self.all_events() if (what := _CPU_WRITES.get(e["kind"])) is not None]

    def cpu_power_log(self):
        """True mean watts of each package with its DRAM; rows as in power_log."""
        cdef plant_host_t *host = self.open_host()
        cdef float found[1024][4]
        cdef uint32_t count = 0, start = 0
        cdef int code
        packages = range(plant_host_cpu_model(host).packages)
        out = []
        while True:
            with nogil:
                code = plant_host_cpu_power_log(host, start, found, BATCH, &count)
            check(code, self.path)
            out += [tuple([found[i][package] for package in packages]) for i in range(count)]
            start += count
            if count == 0:
                return out

    def cpu_energy_true_j(self, uint32_t package):
        """Joules that a package and its DRAM have really drawn, in the model, since the host was made."""
        cdef double package_j = 0, dram_j = 0
        check(plant_host_cpu_energy_true(self.open_host(), package, &package_j, &dram_j),
              f"{self.path}: package {package}")
        return package_j, dram_j

    @property
    def full_logs(self):
        """The logs that are full, so that what came later is missing from them: () or some of "limits", "power"."""
        cdef int events = 0, power = 0
        check(plant_host_logs_full(self.open_host(), &events, &power), self.path)
        return (("limits",) if events else ()) + (("power",) if power else ())


cdef tuple latencies(int kind, const plant_latencies_t *counted):
    cdef const double *bounds = NULL
    cdef uint32_t count = plant_latency_bounds(<plant_latency>kind, &bounds), i
    return (
        tuple([bounds[i] for i in range(count)]), tuple([counted.counts[i] for i in range(count + 1)]), counted.sum_s)


cdef object moment(int64_t time_ns):
    return None if time_ns < 0 else time_ns / 1e9


cdef dict describe(const plant_progress_t *progress):
    gpus = tuple(i for i in range(16) if progress.gpus >> i & 1)
    return {
        "kind": _KINDS.get(progress.kind, "unknown"),
        "gpus": gpus,
        "pid": progress.pid,
        "start_s": progress.start_ns / 1e9,
        "running": bool(progress.running),
        "units": tuple(progress.units[i] for i in gpus),
        "steps": progress.steps, "tokens": progress.tokens, "requests_done": progress.requests_done,
        "requests_lost": progress.requests_lost,
        "starved_s": progress.starved_s,
    }
