"""The hot loop: reads every GPU on time, and keeps the power limits where they were last told to be.

`step(now)` is the whole loop; the thread around it only waits for absolute deadlines. The thread never takes the GIL,
so no Python code, ours or a signal's, can make it late, and a lease ends on time even when the rest of the process
is stuck. How each knob gets where it should be is in govern.h and ceiling.h.

Setpoints are two vectors. The lease holds until a time; after it, and before one came, the fallback holds. A knob with
0 in the vector in force is left alone.
"""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from ceiling cimport *
from govern cimport *
from nvml cimport *
from ring cimport *

import os

from eagent.errors import DriverError

cdef extern from "<time.h>" nogil:
    int TIMER_ABSTIME
    int clock_nanosleep(int clock, int flags, const timespec *until, timespec *rest)

cdef extern from "<sys/prctl.h>" nogil:
    int PR_SET_TIMERSLACK
    int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_init(pthread_mutex_t *, void *)
    int pthread_mutex_destroy(pthread_mutex_t *)
    int pthread_mutex_lock(pthread_mutex_t *)
    int pthread_mutex_unlock(pthread_mutex_t *)

cdef enum:
    TEXT_MAX = 512
    CLOCKS_MAX = 512

cdef int64_t SECOND_NS = 1_000_000_000
cdef int64_t CLOCKS_PERIOD_NS = 250_000_000  # event reasons and clocks: a capped second shows in four looks
cdef int64_t SLOW_PERIOD_NS = 1_000_000_000  # what changes slowly, and limits: a foreign writer shows in a second

ctypedef struct device_t:
    int64_t fast_ns        # when each group is due
    int64_t clocks_ns
    int64_t slow_ns
    bint no_fields         # the driver lacks GetFieldValues or the instant field: read the plain one

ctypedef struct vector_t:
    uint32_t limit_mw[LIMITS_MAX]
    uint32_t clock_mhz[CEILINGS_MAX]  # CEILING_FREE: not locked

ctypedef struct setpoints_t:
    vector_t lease
    vector_t fallback
    int64_t lease_until_ns
    uint64_t envelope_mw   # the sum of limits must not pass it; 0: no budget
    uint64_t generation    # counts what Python said

ctypedef struct loop_t:
    nvml_t nvml
    ring_t ring
    limits_t limits
    ceilings_t ceilings
    device_t devices[LIMITS_MAX]
    uint32_t count
    int64_t period_ns
    bint virtual_time
    bint running
    setpoints_t told       # what Python last said: behind the lock
    setpoints_t setpoints  # the loop's own copy of it: no caller ever waits for a driver call
    uint64_t governed_generation  # what the last whole turn of governing went by, and when it began: behind the lock
    int64_t governed_ns
    pthread_mutex_t lock


cdef inline int64_t clock_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec * SECOND_NS + now.tv_nsec


cdef uint16_t status_of(nvmlReturn_t code) noexcept nogil:
    if code == NVML_SUCCESS:
        return RING_OK
    if code == NVML_ERROR_NOT_SUPPORTED or code == NVML_ERROR_FUNCTION_NOT_FOUND:
        return RING_NOT_SUPPORTED
    if code == NVML_ERROR_NO_PERMISSION:
        return RING_NO_PERMISSION
    if code == NVML_ERROR_GPU_IS_LOST:
        return RING_GPU_LOST
    if code == NVML_ERROR_TIMEOUT:
        return RING_TIMED_OUT
    return RING_FAILED


cdef void publish(
    loop_t *loop, uint32_t i, uint16_t channel, nvmlReturn_t code, int64_t value, int64_t now
) noexcept nogil:
    cdef ring_record_t record
    record.time_ns = now if loop.virtual_time else clock_ns()
    record.value = value if code == NVML_SUCCESS else 0
    record.device = <uint16_t> i
    record.channel = channel
    record.status = status_of(code)
    record.reserved = 0
    ring_push(&loop.ring, &record)
    loop.ring.header.stats.reads += 1
    if code != NVML_SUCCESS and record.status != RING_NOT_SUPPORTED:
        loop.ring.header.stats.read_errors += 1


cdef void read_power(loop_t *loop, uint32_t i, int64_t now) noexcept nogil:
    """Power and energy, in one call where the driver has it."""
    cdef nvmlDevice_t handle = loop.limits.devices[i].handle
    cdef nvmlFieldValue_t fields[2]
    cdef nvmlReturn_t code = NVML_ERROR_NOT_SUPPORTED
    cdef unsigned int power_mw = 0
    cdef unsigned long long energy_mj = 0
    if not loop.devices[i].no_fields and loop.nvml.field_values != NULL:
        memset(fields, 0, sizeof(fields))
        fields[0].fieldId = NVML_FI_DEV_POWER_INSTANT
        fields[1].fieldId = NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION
        code = loop.nvml.field_values(handle, 2, fields)
        if code == NVML_SUCCESS and fields[0].nvmlReturn != NVML_ERROR_NOT_SUPPORTED:
            publish(loop, i, RING_POWER_INSTANT_MW, fields[0].nvmlReturn, fields[0].value.uiVal, now)
            publish(loop, i, RING_ENERGY_MJ, fields[1].nvmlReturn, fields[1].value.ullVal, now)
            return
        if code == NVML_SUCCESS or code == NVML_ERROR_NOT_SUPPORTED:
            loop.devices[i].no_fields = True
    code = loop.nvml.power_usage(handle, &power_mw)
    publish(loop, i, RING_POWER_INSTANT_MW, code, power_mw, now)
    if loop.nvml.energy != NULL:
        code = loop.nvml.energy(handle, &energy_mj)
        publish(loop, i, RING_ENERGY_MJ, code, <int64_t> energy_mj, now)


cdef void read_clocks(loop_t *loop, uint32_t i, int64_t now) noexcept nogil:
    cdef nvmlDevice_t handle = loop.limits.devices[i].handle
    cdef unsigned long long reasons = 0
    cdef unsigned int clock_mhz = 0
    cdef nvmlReturn_t code
    if loop.nvml.event_reasons != NULL:
        code = loop.nvml.event_reasons(handle, &reasons)
        publish(loop, i, RING_EVENT_REASONS, code, <int64_t> reasons, now)
    if loop.nvml.clock != NULL:
        code = loop.nvml.clock(handle, NVML_CLOCK_SM, &clock_mhz)
        publish(loop, i, RING_SM_CLOCK_MHZ, code, clock_mhz, now)


cdef void publish_limits(loop_t *loop, int64_t now) noexcept nogil:
    """Into the ring, whatever was read of the limits since the last time."""
    cdef uint32_t i
    cdef limit_t *limit
    for i in range(loop.count):
        limit = &loop.limits.devices[i]
        if limit.fresh:
            limit.fresh = False
            publish(loop, i, RING_LIMIT_REQUESTED_MW, limit.requested_code, limit.requested_mw, now)
            publish(loop, i, RING_LIMIT_ENFORCED_MW, limit.enforced_code, limit.enforced_mw, now)


cdef void read_slow(loop_t *loop, uint32_t i, int64_t now) noexcept nogil:
    cdef nvmlDevice_t handle = loop.limits.devices[i].handle
    cdef nvmlUtilization_t busy
    cdef unsigned int celsius = 0
    cdef unsigned int processes = 0
    cdef nvmlReturn_t code
    if loop.nvml.utilisation != NULL:
        memset(&busy, 0, sizeof(busy))
        code = loop.nvml.utilisation(handle, &busy)
        publish(loop, i, RING_GPU_UTILISATION_PCT, code, busy.gpu, now)
        publish(loop, i, RING_MEMORY_UTILISATION_PCT, code, busy.memory, now)
    if loop.nvml.temperature != NULL:
        code = loop.nvml.temperature(handle, NVML_TEMPERATURE_GPU, &celsius)
        publish(loop, i, RING_TEMPERATURE_C, code, celsius, now)
    if loop.nvml.compute_processes != NULL:
        code = loop.nvml.compute_processes(handle, &processes, NULL)  # asks how many there are
        if code == NVML_ERROR_INSUFFICIENT_SIZE:
            code = NVML_SUCCESS
        publish(loop, i, RING_COMPUTE_PROCESSES, code, processes, now)
    limits_read(&loop.limits, i, now)


cdef void sample(loop_t *loop, int64_t now) noexcept nogil:
    cdef uint32_t i
    cdef int64_t begun = clock_ns()
    for i in range(loop.count):
        if now >= loop.devices[i].fast_ns:
            # A wake-up that is a little early still counts.
            loop.devices[i].fast_ns = now + loop.period_ns - loop.period_ns // 8
            read_power(loop, i, now)
        if now >= loop.devices[i].clocks_ns:
            loop.devices[i].clocks_ns = now + CLOCKS_PERIOD_NS
            read_clocks(loop, i, now)
        if now >= loop.devices[i].slow_ns:
            loop.devices[i].slow_ns = now + SLOW_PERIOD_NS
            read_slow(loop, i, now)
    loop.ring.header.stats.read_ns += <uint64_t> (clock_ns() - begun)


cdef void govern(loop_t *loop, int64_t now) noexcept nogil:
    cdef int64_t begun = clock_ns()
    cdef bint leased, wrote
    cdef vector_t *wanted
    pthread_mutex_lock(&loop.lock)
    loop.setpoints = loop.told
    pthread_mutex_unlock(&loop.lock)
    leased = now < loop.setpoints.lease_until_ns
    wanted = &loop.setpoints.lease if leased else &loop.setpoints.fallback
    wrote = limits_govern(&loop.limits, &wanted.limit_mw[0], leased, loop.setpoints.envelope_mw, now)
    wrote = ceilings_govern(&loop.ceilings, &wanted.clock_mhz[0], now) or wrote
    if wrote:
        loop.ring.header.stats.write_ns += <uint64_t> (clock_ns() - begun)
        loop.ring.header.stats.writes = loop.limits.writes + loop.ceilings.writes
        loop.ring.header.stats.write_errors = loop.limits.write_errors + loop.ceilings.write_errors
    pthread_mutex_lock(&loop.lock)
    loop.governed_generation = loop.setpoints.generation
    loop.governed_ns = now
    pthread_mutex_unlock(&loop.lock)


cdef void step(loop_t *loop, int64_t now) noexcept nogil:
    """One turn of the loop: govern first, because lowering must not wait for reads."""
    govern(loop, now)
    sample(loop, now)
    publish_limits(loop, now)
    loop.ring.header.stats.steps += 1
    loop.ring.header.stats.heartbeat_ns = now if loop.virtual_time else clock_ns()


cdef void run(loop_t *loop) noexcept nogil:
    cdef int64_t due = clock_ns()
    cdef int64_t late
    cdef timespec until
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    while loop.running:
        step(loop, clock_ns())
        due += loop.period_ns
        late = clock_ns() - due
        if late > 0:  # the step took longer than a period: skip what was missed, keep the phase
            loop.ring.header.stats.missed += <uint64_t> (late // loop.period_ns + 1)
            due += (late // loop.period_ns + 1) * loop.period_ns
        until.tv_sec = due // SECOND_NS
        until.tv_nsec = due % SECOND_NS
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL)
        late = clock_ns() - due
        if late > <int64_t> loop.ring.header.stats.lateness_max_ns:
            loop.ring.header.stats.lateness_max_ns = <uint64_t> late


CLOCK_FREE = CEILING_FREE  # as a clock: not locked


cdef class Loop:
    """The loop over one NVML library and one ring file. Not thread-safe but where it says so."""

    cdef loop_t _loop
    cdef bint _open

    def __cinit__(self, str library, str ring_path, int period_ms, bint virtual_time=False):
        """Open the library and make the ring.

        Args:
            library: NVML's name or path, as dlopen takes it.
            ring_path: Where the sample ring is made; an older one is replaced.
            period_ms: How often power is read.
            virtual_time: Times are those given to `step`, never the clock's.

        Raises:
            DriverError: no usable NVML, no device, or the ring can't be made.
        """
        cdef char problem[TEXT_MAX]
        cdef unsigned int count = 0
        cdef uint32_t i
        cdef int code
        self._loop.ring.fd = -1
        self._loop.period_ns = <int64_t> period_ms * 1_000_000
        self._loop.virtual_time = virtual_time
        pthread_mutex_init(&self._loop.lock, NULL)
        if nvml_open(&self._loop.nvml, library.encode(), problem, TEXT_MAX):
            raise DriverError(problem.decode("utf-8", "replace"))
        self._open = True
        self._check(self._loop.nvml.device_count(&count), "device count")
        if count == 0:
            raise DriverError("the driver shows no GPU")
        if count > LIMITS_MAX:
            raise DriverError(f"{count} GPUs; eagent governs at most {LIMITS_MAX} on a host")
        self._loop.running = True
        self._loop.count = self._loop.limits.count = self._loop.ceilings.count = count
        self._loop.limits.nvml = self._loop.ceilings.nvml = &self._loop.nvml
        for i in range(count):
            self._check(self._loop.nvml.device_by_index(i, &self._loop.limits.devices[i].handle), f"gpu{i}: handle")
            self._loop.ceilings.devices[i].handle = self._loop.limits.devices[i].handle
        code = ring_create(&self._loop.ring, ring_path.encode())
        if code:
            raise DriverError(f"{ring_path}: {os.strerror(-code)}: the sample ring can't be made here")

    def __dealloc__(self):
        self.close()
        pthread_mutex_destroy(&self._loop.lock)

    def close(self):
        """Stop using the driver and the ring. The ring file stays: its readers see the silence."""
        if self._open:
            self._open = False
            nvml_close(&self._loop.nvml)
        ring_close(&self._loop.ring)

    cdef _check(self, nvmlReturn_t code, str what):
        if code != NVML_SUCCESS:
            raise DriverError(f"{what}: {nvml_text(&self._loop.nvml, code).decode('utf-8', 'replace')}")

    @property
    def simulated_host(self):
        """The simulated host's file if the library is eagent's simulator, else None."""
        if self._loop.nvml.simulated_host == NULL:
            return None
        return self._loop.nvml.simulated_host().decode()

    @property
    def count(self):
        """How many devices there are."""
        return self._loop.count

    def describe(self, uint32_t i):
        """What the driver says of device `i`: uuid, name, pci_bus_id, architecture, limits in mW, clocks_mhz.

        A limit is None where the device does not tell it; clocks_mhz are those that it can be locked to, ascending.
        """
        cdef char text[96]
        cdef nvmlPciInfo_t pci
        cdef unsigned int low = 0, high = 0, value = 0
        cdef nvmlDevice_t handle = self._loop.limits.devices[i].handle
        facts = dict.fromkeys(("architecture", "min_limit_mw", "max_limit_mw", "default_limit_mw", "limit_mw"))
        self._check(self._loop.nvml.device_uuid(handle, text, sizeof(text)), f"gpu{i}: UUID")
        facts["uuid"] = text.decode()
        self._check(self._loop.nvml.device_name(handle, text, sizeof(text)), f"gpu{i}: name")
        facts["name"] = text.decode()
        self._check(self._loop.nvml.device_pci(handle, &pci), f"gpu{i}: PCI address")
        facts["pci_bus_id"] = pci.busId.decode()
        if self._loop.nvml.architecture != NULL and self._loop.nvml.architecture(handle, &value) == NVML_SUCCESS:
            facts["architecture"] = value
        if self._loop.nvml.limit_range(handle, &low, &high) == NVML_SUCCESS:
            facts["min_limit_mw"], facts["max_limit_mw"] = low, high
            self._loop.limits.devices[i].highest_mw = high
        if self._loop.nvml.limit_default(handle, &value) == NVML_SUCCESS:
            facts["default_limit_mw"] = value
        if self._loop.nvml.limit_get(handle, &value) == NVML_SUCCESS:
            facts["limit_mw"] = value
            self._loop.limits.devices[i].requested_mw = value
        facts["clocks_mhz"] = self._clocks(i)
        return facts

    cdef list _clocks(self, uint32_t i):
        """The graphics clocks at the greatest memory clock; none where locks are not to be had."""
        cdef unsigned int memory_mhz[CLOCKS_MAX]
        cdef unsigned int graphics_mhz[CLOCKS_MAX]
        cdef unsigned int count = CLOCKS_MAX
        cdef nvml_t *nvml = &self._loop.nvml
        cdef nvmlDevice_t handle = self._loop.limits.devices[i].handle
        if nvml.clock_lock == NULL or nvml.clock_reset == NULL:
            return []
        if nvml.memory_clocks == NULL or nvml.graphics_clocks == NULL:
            return []
        if nvml.memory_clocks(handle, &count, memory_mhz) != NVML_SUCCESS or count == 0:
            return []
        highest_mhz = max(memory_mhz[k] for k in range(count))
        count = CLOCKS_MAX
        if nvml.graphics_clocks(handle, highest_mhz, &count, graphics_mhz) != NVML_SUCCESS:
            return []
        clocks = sorted(graphics_mhz[k] for k in range(count))
        self._loop.ceilings.devices[i].lowest_mhz = clocks[0] if clocks else 0
        return clocks

    def probe(self, uint32_t i, uint32_t limit_mw):
        """Write a limit that is in force already; None if the driver took it, else the driver's reason.

        A write that changes nothing is the only honest test of the privilege. Its value must be in the journal.
        """
        cdef nvmlReturn_t code = self._loop.nvml.limit_set(self._loop.limits.devices[i].handle, limit_mw)
        return None if code == NVML_SUCCESS else nvml_text(&self._loop.nvml, code).decode("utf-8", "replace")

    def lease(self, list limits_mw, list clocks_mhz, int64_t until_ns):
        """Hold these (one per device, 0: leave alone, CLOCK_FREE: no lock) until the monotonic time. Thread-safe."""
        pthread_mutex_lock(&self._loop.lock)
        self._fill(&self._loop.told.lease.limit_mw[0], limits_mw)
        self._fill(&self._loop.told.lease.clock_mhz[0], clocks_mhz)
        self._loop.told.lease_until_ns = until_ns
        self._loop.told.generation += 1
        pthread_mutex_unlock(&self._loop.lock)

    def fall_back(self, list limits_mw, list clocks_mhz, uint64_t envelope_mw):
        """Hold these while no lease runs; never raise the sum of limits above the envelope (0: none). Thread-safe."""
        pthread_mutex_lock(&self._loop.lock)
        self._fill(&self._loop.told.fallback.limit_mw[0], limits_mw)
        self._fill(&self._loop.told.fallback.clock_mhz[0], clocks_mhz)
        self._loop.told.envelope_mw = envelope_mw
        self._loop.told.generation += 1
        pthread_mutex_unlock(&self._loop.lock)

    cdef _fill(self, uint32_t *vector, list limits_mw):
        cdef uint32_t i
        for i in range(self._loop.count):
            vector[i] = limits_mw[i]

    def release(self):
        """End the lease now. Thread-safe."""
        pthread_mutex_lock(&self._loop.lock)
        self._loop.told.lease_until_ns = 0
        self._loop.told.generation += 1
        pthread_mutex_unlock(&self._loop.lock)

    def governed(self, bint lease_over):
        """Whether a whole turn has gone by what was last said and, if asked, began after the lease's end. Thread-safe.

        Until then what was read of a knob may be what a turn that still runs is about to change.
        """
        cdef bint done
        pthread_mutex_lock(&self._loop.lock)
        done = self._loop.governed_generation == self._loop.told.generation
        if lease_over:
            done = done and self._loop.governed_ns >= self._loop.told.lease_until_ns
        pthread_mutex_unlock(&self._loop.lock)
        return done

    def cap(self, uint32_t i, bint capped):
        """Say whether device `i` counts in the sum under the envelope. Before the loop runs."""
        self._loop.limits.devices[i].capped = capped

    def limit_now(self, uint32_t i):
        """Ask the driver what the limit of device `i` is in this moment, in mW; None if it does not tell."""
        cdef unsigned int limit_mw = 0
        cdef nvmlReturn_t code
        cdef nvmlDevice_t handle = self._loop.limits.devices[i].handle
        with nogil:
            code = self._loop.nvml.limit_get(handle, &limit_mw)
        return limit_mw if code == NVML_SUCCESS else None

    def limits(self):
        """Per device, as last read back: requested and enforced mW, when somebody else changed it (ns), problem."""
        cdef uint32_t i
        cdef limit_t *device
        found = []
        for i in range(self._loop.count):
            device = &self._loop.limits.devices[i]
            problem = None
            if device.write_code != NVML_SUCCESS:
                problem = nvml_text(&self._loop.nvml, device.write_code).decode("utf-8", "replace")
            elif device.disagrees:
                problem = f"wrote {device.written_mw} mW, read back {device.requested_mw} mW"
            found.append((device.requested_mw or None, device.enforced_mw or None, device.foreign_ns or None, problem))
        return found

    def ceilings(self):
        """Per device: the clock ceiling that our last write set (CLOCK_FREE: none, None: unknown), and its problem."""
        cdef uint32_t i
        cdef ceiling_t *device
        found = []
        for i in range(self._loop.count):
            device = &self._loop.ceilings.devices[i]
            problem = None
            if device.code != NVML_SUCCESS:
                problem = nvml_text(&self._loop.nvml, device.code).decode("utf-8", "replace")
            found.append((device.held_mhz or None, problem))
        return found

    def step(self, int64_t now_ns):
        """Take one turn at a time of the caller's: this is the loop in virtual time."""
        with nogil:
            step(&self._loop, now_ns)

    def run(self):
        """Take turns until `stop`: the body of the loop's own thread. Holds no GIL while it runs."""
        self._loop.ring.header.stats.started_ns = clock_ns()
        with nogil:
            run(&self._loop)

    def stop(self):
        """Make `run` return within a period. Thread-safe."""
        self._loop.running = False
