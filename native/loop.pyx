"""The hot loop: reads every device on time, and keeps their knobs where they were last told to be.

`step(now)` is the whole loop; the thread around it only waits for absolute deadlines. The thread never takes the GIL,
so no Python code, ours or a signal's, can make it late, and a lease ends on time even when the rest of the process
is stuck. What is read and when is in sampler.h; how each knob gets where it should be in govern.h, ceiling.h and
setting.h.

Setpoints are two vectors. The lease holds until a time; after it, and before one came, the fallback holds. A knob with
0, or no text, in the vector in force is left alone.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy
from posix.time cimport CLOCK_MONOTONIC, timespec

from ceiling cimport *
from govern cimport *
from nvml cimport *
from ring cimport *
from sampler cimport *
from setting cimport *
from zone cimport *

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

    CALLS_LEAST = 32  # of the kernel for CPUs in one turn: 64 of them are done in four, and a turn takes milliseconds

cdef int64_t SECOND_NS = 1_000_000_000

ctypedef struct vector_t:
    uint32_t limit_mw[LIMITS_MAX]
    uint32_t clock_mhz[CEILINGS_MAX]  # CEILING_FREE: not locked
    setting_text_t text[SETTINGS_MAX]  # empty: left alone

ctypedef struct setpoints_t:
    vector_t lease
    vector_t fallback
    int64_t lease_until_ns
    uint64_t envelope_mw   # the sum of limits must not pass it; 0: no budget
    uint64_t owner_uw[LIMITS_MAX][ZONE_LIMITS]  # of packages: what their limits were before us
    uint64_t generation    # counts what Python said

ctypedef struct loop_t:
    nvml_t nvml
    ring_t ring
    limits_t limits
    ceilings_t ceilings
    settings_t settings
    zone_t zones[LIMITS_MAX]
    sampler_t sampler
    uint32_t gpus          # of the devices the GPUs come first, then the packages
    int64_t period_ns
    bint virtual_time
    bint running
    setpoints_t told       # what Python last said: behind the lock
    setpoints_t setpoints  # the loop's own copy of it: no caller ever waits for a driver call
    uint64_t governed_generation  # what the last whole turn of governing went by, and when it began: behind the lock
    int64_t governed_ns
    pthread_mutex_t lock


cdef void listen(loop_t *loop) noexcept nogil:
    """Take over what Python said since the last turn."""
    cdef uint32_t i, k
    pthread_mutex_lock(&loop.lock)
    if loop.setpoints.generation == loop.told.generation:
        pthread_mutex_unlock(&loop.lock)
        return
    loop.setpoints = loop.told
    pthread_mutex_unlock(&loop.lock)
    for i in range(loop.gpus, loop.limits.count):
        for k in range(ZONE_LIMITS):
            loop.zones[i].owner_uw[k] = loop.setpoints.owner_uw[i][k]


cdef void govern(loop_t *loop, int64_t now) noexcept nogil:
    cdef int64_t begun = sampler_clock_ns()
    cdef bint leased, wrote
    cdef vector_t *wanted
    cdef ring_stats_t *stats = &loop.ring.header.stats
    listen(loop)
    leased = now < loop.setpoints.lease_until_ns
    wanted = &loop.setpoints.lease if leased else &loop.setpoints.fallback
    wrote = limits_govern(&loop.limits, &wanted.limit_mw[0], leased, loop.setpoints.envelope_mw, now)
    wrote = ceilings_govern(&loop.ceilings, &wanted.clock_mhz[0], now) or wrote
    if wrote:
        stats.write_ns += <uint64_t> (sampler_clock_ns() - begun)
    settings_govern(&loop.settings, &wanted.text[0], now)
    stats.writes = loop.limits.writes + loop.ceilings.writes + loop.settings.writes
    stats.write_errors = loop.limits.write_errors + loop.ceilings.write_errors + loop.settings.write_errors
    pthread_mutex_lock(&loop.lock)
    loop.governed_generation = loop.setpoints.generation
    loop.governed_ns = now
    pthread_mutex_unlock(&loop.lock)


cdef void step(loop_t *loop, int64_t now) noexcept nogil:
    """One turn of the loop: govern first, because lowering must not wait for reads."""
    govern(loop, now)
    sampler_read(&loop.sampler, now)
    sampler_publish_limits(&loop.sampler, now)
    loop.ring.header.stats.steps += 1
    loop.ring.header.stats.heartbeat_ns = now if loop.virtual_time else sampler_clock_ns()


cdef void run(loop_t *loop) noexcept nogil:
    cdef int64_t due = sampler_clock_ns()
    cdef int64_t late
    cdef timespec until
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    while loop.running:
        step(loop, sampler_clock_ns())
        due += loop.period_ns
        late = sampler_clock_ns() - due
        if late > 0:  # the step took longer than a period: skip what was missed, keep the phase
            loop.ring.header.stats.missed += <uint64_t> (late // loop.period_ns + 1)
            due += (late // loop.period_ns + 1) * loop.period_ns
        until.tv_sec = due // SECOND_NS
        until.tv_nsec = due % SECOND_NS
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL)
        late = sampler_clock_ns() - due
        if late > <int64_t> loop.ring.header.stats.lateness_max_ns:
            loop.ring.header.stats.lateness_max_ns = <uint64_t> late


CLOCK_FREE = CEILING_FREE  # as a clock: not locked


cdef _copy(char *into, str text, size_t room):
    """Copy a text with its end.

    Raises:
        DriverError: it is too long.
    """
    cdef bytes content = text.encode()
    if len(content) >= room:
        raise DriverError(f"{text[:200]}: longer than {room - 1} bytes")
    memcpy(into, <char *> content, len(content) + 1)


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
        self._loop.gpus = self._loop.limits.count = self._loop.ceilings.count = count
        self._loop.limits.nvml = self._loop.ceilings.nvml = self._loop.sampler.nvml = &self._loop.nvml
        self._loop.sampler.ring, self._loop.sampler.limits = &self._loop.ring, &self._loop.limits
        self._loop.sampler.gpus, self._loop.sampler.period_ns = count, self._loop.period_ns
        self._loop.sampler.virtual_time = virtual_time
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
    def gpus(self):
        """How many GPUs there are. They are the first devices."""
        return self._loop.gpus

    def add_package(self, str energy_path, range_uj, str enabled_path, list limit_paths, list owner_uw):
        """Take in a CPU package as the next device, before the loop runs, and read its limit.

        Args:
            energy_path: Its energy counter, empty if there is none.
            range_uj: The counter's greatest value.
            enabled_path: What says whether its limits have force, empty if nothing does.
            limit_paths: Its power limits, at most two.
            owner_uw: What each of them is before us.

        Returns:
            The device's number.

        Raises:
            DriverError: there is no room for it, or no such counter.
        """
        cdef uint32_t i = self._loop.limits.count
        cdef zone_t *zone = &self._loop.zones[i]
        if i >= LIMITS_MAX or len(limit_paths) > ZONE_LIMITS:
            raise DriverError(f"more than {LIMITS_MAX} devices, or {ZONE_LIMITS} power limits of one")
        _copy(&zone.energy_path[0], energy_path, ATTRIBUTE_PATH)
        _copy(&zone.enabled_path[0], enabled_path, ATTRIBUTE_PATH)
        for k, path in enumerate(limit_paths):
            _copy(&zone.limit_path[k][0], path, ATTRIBUTE_PATH)
        try:
            zone.range_uj = range_uj
        except OverflowError:
            raise DriverError(f"{energy_path}: counts up to {range_uj}, which is none that a counter has") from None
        zone.limits = len(limit_paths)
        self._loop.limits.devices[i].zone = zone
        zone_read_limit(zone, &self._loop.limits.devices[i].requested_mw)
        self._loop.limits.count = i + 1
        self.own(i, owner_uw)
        listen(&self._loop)
        limits_read(&self._loop.limits, i, 0)
        return i

    def own(self, uint32_t i, list owner_uw):
        """Say what the limits of package `i` were before us: none is written above it. Thread-safe."""
        cdef uint32_t k
        pthread_mutex_lock(&self._loop.lock)
        for k in range(len(owner_uw)):
            self._loop.told.owner_uw[i][k] = owner_uw[k]
        self._loop.told.generation += 1
        pthread_mutex_unlock(&self._loop.lock)
        self._loop.limits.devices[i].highest_mw = -(-max(owner_uw, default=0) // 1000)

    def add_settings(self, list paths):
        """Take in attributes that texts are written to, before the loop runs; later texts are in their order.

        Raises:
            DriverError: there is no room for them.
        """
        cdef uint32_t count = self._loop.settings.count
        if count + len(paths) > SETTINGS_MAX:
            raise DriverError(f"{count + len(paths)} attributes of CPUs; eagent governs at most {SETTINGS_MAX}")
        for k, path in enumerate(paths):
            _copy(&self._loop.settings.each[count + k].path[0], path, ATTRIBUTE_PATH)
        count += len(paths)
        self._loop.settings.count = count
        # However many there are and however rare the turns, in a second each of them has had its own.
        self._loop.settings.calls_max = max(CALLS_LEAST, 1 + count * self._loop.period_ns // SECOND_NS)

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

    def lease(self, list limits_mw, list clocks_mhz, list texts, int64_t until_ns):
        """Hold these until the monotonic time. Thread-safe.

        Args:
            limits_mw: One per device, 0: leave it alone.
            clocks_mhz: One per GPU, 0: leave it alone, CLOCK_FREE: no lock.
            texts: One per setting, empty: leave it alone.
            until_ns: The end.
        """
        cdef vector_t vector
        self._fill(&vector, limits_mw, clocks_mhz, texts)
        pthread_mutex_lock(&self._loop.lock)
        self._loop.told.lease = vector
        self._loop.told.lease_until_ns = until_ns
        self._loop.told.generation += 1
        pthread_mutex_unlock(&self._loop.lock)

    def fall_back(self, list limits_mw, list clocks_mhz, list texts, uint64_t envelope_mw):
        """Hold these while no lease runs; never raise the sum of limits above the envelope (0: none). Thread-safe."""
        cdef vector_t vector
        self._fill(&vector, limits_mw, clocks_mhz, texts)
        pthread_mutex_lock(&self._loop.lock)
        self._loop.told.fallback = vector
        self._loop.told.envelope_mw = envelope_mw
        self._loop.told.generation += 1
        pthread_mutex_unlock(&self._loop.lock)

    cdef _fill(self, vector_t *vector, list limits_mw, list clocks_mhz, list texts):
        cdef uint32_t i
        for i in range(self._loop.limits.count):
            vector.limit_mw[i] = limits_mw[i]
        for i in range(self._loop.gpus):
            vector.clock_mhz[i] = clocks_mhz[i]
        for i in range(self._loop.settings.count):
            _copy(&vector.text[i][0], texts[i], SETTING_TEXT)

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
        """Ask the driver what the limit of GPU `i` is in this moment, in mW; None if it does not tell."""
        cdef unsigned int limit_mw = 0
        cdef nvmlReturn_t code
        cdef nvmlDevice_t handle = self._loop.limits.devices[i].handle
        with nogil:
            code = self._loop.nvml.limit_get(handle, &limit_mw)
        return limit_mw if code == NVML_SUCCESS else None

    def limits(self):
        """Per device, as last read back: requested and enforced mW, when somebody else changed it (ns), problem.

        The last is the wish that is in force, in mW: of a package all of its limits are where it puts them. None each
        where there is none.
        """
        cdef uint32_t i
        cdef limit_t *device
        found = []
        for i in range(self._loop.limits.count):
            device = &self._loop.limits.devices[i]
            problem = None
            if device.write_error:
                problem = os.strerror(device.write_error)
            elif device.write_code != NVML_SUCCESS:
                problem = nvml_text(&self._loop.nvml, device.write_code).decode("utf-8", "replace")
            elif device.disagrees:
                problem = f"wrote {device.written_mw} mW, read back {device.requested_mw} mW"
                if device.is_uneven:
                    problem += ", and less of its other limit"
            found.append(
                (
                    device.requested_mw or None,
                    device.enforced_mw or None,
                    device.foreign_ns or None,
                    problem,
                    device.held_mw or None,
                )
            )
        return found

    def ceilings(self):
        """Per GPU: the clock ceiling that our last write set (CLOCK_FREE: none, None: unknown), and its problem."""
        cdef uint32_t i
        cdef ceiling_t *device
        found = []
        for i in range(self._loop.gpus):
            device = &self._loop.ceilings.devices[i]
            problem = None
            if device.code != NVML_SUCCESS:
                problem = nvml_text(&self._loop.nvml, device.code).decode("utf-8", "replace")
            found.append((device.held_mhz or None, problem))
        return found

    def settings(self):
        """Per setting: the text as read back since our last write, its errno, when somebody else changed it (ns).

        None each where there is none.
        """
        cdef uint32_t i
        cdef setting_t *one
        found = []
        for i in range(self._loop.settings.count):
            one = &self._loop.settings.each[i]
            found.append((one.held.decode("ascii", "replace") or None, one.error or None, one.foreign_ns or None))
        return found

    def step(self, int64_t now_ns):
        """Take one turn at a time of the caller's: this is the loop in virtual time."""
        with nogil:
            step(&self._loop, now_ns)

    def run(self):
        """Take turns until `stop`: the body of the loop's own thread. Holds no GIL while it runs."""
        self._loop.ring.header.stats.started_ns = sampler_clock_ns()
        with nogil:
            run(&self._loop)

    def stop(self):
        """Make `run` return within a period. Thread-safe."""
        self._loop.running = False
