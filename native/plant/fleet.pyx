"""Many simulated hosts of one kind in coarse steps, for months of a trace. See native/plant/coarse.h."""

import errno

from cython cimport final

from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdint cimport uint32_t
from libc.string cimport memset

from eagent.errors import InputError

from plant.coarse cimport *
from plant.description cimport read_cpu, read_model, read_supply
from plant.lab cimport plant_description_t

_POWERS = ("off", "booting", "on")  # in the order of enum plant_power


@final
cdef class _Column:
    """A column's memory, which keeps its fleet alive."""

    cdef Fleet fleet
    cdef void *place
    cdef Py_ssize_t size
    cdef bint is_fixed

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.place, self.size, self.is_fixed, flags)


@final
cdef class Fleet:
    """`hosts` hosts of `gpus` GPUs each, all of one kind, all on and idle.

    A column is a memoryview, which numpy and array.array take as it is: GPU g of host h is at h * gpus + g.

    Host h's sensors are those of a fine host with the seed `seed` + h. One thread at a time may use a fleet.
    """

    cdef coarse_t *coarse

    def __cinit__(self, model, cpu=None, supply=None, *, hosts, gpus, seed=1):
        cdef plant_description_t given
        memset(&given, 0, sizeof(given))
        try:
            given.gpus, given.seed = gpus, seed
            read_model(&given.model, model)
            if cpu is not None:
                read_cpu(&given.cpu, cpu)
            given.supply.inlet_c, given.supply.fan_full_w = given.model.inlet_c, 1
            if supply is not None:
                read_supply(&given.supply, supply)
            code = coarse_create(&given, hosts, &self.coarse)
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise InputError(f"cannot make a fleet: {type(error).__name__} in its description: {error}") from error
        if code == -errno.ENOMEM:
            raise MemoryError
        if code != 0:
            raise InputError(f"cannot make a fleet of {hosts} hosts with {gpus} GPUs: impossible numbers")

    def __dealloc__(self):
        coarse_free(self.coarse)

    cdef object column(self, void *place, Py_ssize_t size, bint is_fixed):
        cdef _Column column = _Column.__new__(_Column)
        column.fleet, column.place, column.size, column.is_fixed = self, place, size, is_fixed
        return memoryview(column)

    cdef Py_ssize_t all_gpus(self):
        return <Py_ssize_t>self.coarse.hosts * self.coarse.gpus

    cdef object to_set(self, double *place):
        return self.column(place, self.all_gpus() * sizeof(double), False).cast("d")

    cdef object to_read(self, double *place):
        return self.column(place, self.all_gpus() * sizeof(double), True).cast("d")

    cdef object of_hosts(self, double *place):
        return self.column(place, self.coarse.hosts * sizeof(double), True).cast("d")

    @property
    def hosts(self):
        return self.coarse.hosts

    @property
    def gpus(self):
        """Of each host."""
        return self.coarse.gpus

    @property
    def time_s(self):
        return self.coarse.time_s

    @property
    def resident(self):
        """To set: whether a process is on the GPU. Without one it sleeps, whatever else is said of it."""
        return self.column(self.coarse.resident, self.all_gpus(), False)

    @property
    def compute(self):
        """To set: compute activity while it works, 0 to 1; a GEMM is 1."""
        return self.to_set(self.coarse.compute)

    @property
    def memory(self):
        """To set: memory activity while it works, 0 to 1."""
        return self.to_set(self.coarse.memory)

    @property
    def compute_fraction(self):
        """To set: the share of the work's time that scales with the clock."""
        return self.to_set(self.coarse.compute_fraction)

    @property
    def busy(self):
        """To set: the share of the step in which it works; for the rest, its process is quiet."""
        return self.to_set(self.coarse.busy)

    @property
    def burst_s(self):
        """To set: how long it works at a time; 1 at first. A power limit bounds the mean of short bursts, and each
        long one."""
        return self.to_set(self.coarse.burst_s)

    @property
    def limit_w(self):
        """To set: the power limit, within the model's range."""
        return self.to_set(self.coarse.limit_w)

    @property
    def ceiling_mhz(self):
        """To set: the highest clock that is allowed; 0: any."""
        return self.to_set(self.coarse.ceiling_mhz)

    @property
    def clock_mhz(self):
        """Mean clock at work over the last step; NaN where the host was not on at its end."""
        return self.to_read(self.coarse.clock_mhz)

    @property
    def power_w(self):
        """True mean watts over the last step."""
        return self.to_read(self.coarse.power_w)

    @property
    def reading_w(self):
        """What the board's sensor makes of that, on average; NaN where the host was not on at the step's end."""
        return self.to_read(self.coarse.reading_w)

    @property
    def rate(self):
        """How fast it worked while it worked, as a share of full speed; 0 without a process."""
        return self.to_read(self.coarse.rate)

    @property
    def temperature_c(self):
        """At the last step's end."""
        return self.to_read(self.coarse.temperature_c)

    @property
    def energy_j(self):
        """All that each GPU has drawn."""
        return self.to_read(self.coarse.energy_j)

    @property
    def work_s(self):
        """All that each GPU has done, in seconds of work at full clock."""
        return self.to_read(self.coarse.work_s)

    @property
    def power(self):
        """Per host: 0 off, 1 booting, 2 on."""
        return self.column(self.coarse.power, self.coarse.hosts, True)

    @property
    def wall_w(self):
        """Per host: mean watts from the wall over the last step."""
        return self.of_hosts(self.coarse.wall_w)

    @property
    def wall_energy_j(self):
        """Per host: all that it has drawn from the wall."""
        return self.of_hosts(self.coarse.wall_energy_j)

    cdef uint32_t place(self, long host, long gpu) except 0xffffffff:
        self.checked(host)
        if not 0 <= gpu < self.coarse.gpus:
            raise InputError(f"no gpu {gpu}: a host has {self.coarse.gpus}")
        return <uint32_t>(host * self.coarse.gpus + gpu)

    cdef uint32_t checked(self, long host) except 0xffffffff:
        if not 0 <= host < self.coarse.hosts:
            raise InputError(f"no host {host}: the fleet has {self.coarse.hosts}")
        return <uint32_t>host

    def set_activity(self, long host, long gpu, double compute, double memory, double compute_fraction,
                     double busy=1.0, double burst_s=1.0):
        """Put a process on a GPU, which does this from now on."""
        cdef uint32_t place = self.place(host, gpu)
        self.coarse.resident[place] = 1
        self.coarse.compute[place], self.coarse.memory[place] = compute, memory
        self.coarse.compute_fraction[place] = compute_fraction
        self.coarse.busy[place], self.coarse.burst_s[place] = busy, burst_s

    def set_idle(self, long host, long gpu):
        """Take the process away."""
        self.coarse.resident[self.place(host, gpu)] = 0

    def set_limit(self, long host, long gpu, double watts):
        self.coarse.limit_w[self.place(host, gpu)] = watts

    def set_ceiling(self, long host, long gpu, mhz):
        """The highest clock that is allowed; None: any."""
        self.coarse.ceiling_mhz[self.place(host, gpu)] = 0 if mhz is None else mhz

    def switch_off(self, long host):
        """Cut the power: its work, limits and ceilings are lost. Nothing if it is off."""
        coarse_switch_off(self.coarse, self.checked(host))

    def switch_on(self, long host):
        """Begin to boot; what is on its GPUs then begins as soon as it is on. Nothing if it is not off."""
        coarse_switch_on(self.coarse, self.checked(host))

    def power_of(self, long host):
        """"off", "booting" or "on"."""
        return _POWERS[self.coarse.power[self.checked(host)]]

    def step(self, double span_s):
        """Let time pass with all as it is set.

        Raises:
            InputError: a step of less than a second or more than a day, or a number that makes no sense; then nothing
                has happened.
        """
        cdef uint32_t gpu = 0
        cdef int code
        with nogil:
            code = coarse_step(self.coarse, span_s, &gpu)
        if code == -errno.ERANGE:
            raise InputError(f"a step of {span_s:g} s: must be {COARSE_STEP_MIN_S:g} to {COARSE_STEP_MAX_S:g} s")
        if code != 0:
            raise InputError(self.complaint(gpu))

    cdef str complaint(self, uint32_t place):
        said = {name: getattr(self, name)[place] for name in
                ("compute", "memory", "compute_fraction", "busy", "burst_s", "limit_w", "ceiling_mhz")}
        numbers = ", ".join(f"{name} {value:g}" for name, value in said.items())
        return (f"host {place // self.coarse.gpus}, gpu {place % self.coarse.gpus}: {numbers}: activities must be 0 to "
                "1, bursts no less than 0, limit and ceiling within the model's range")
