"""The hot loop's face to Python: it takes the devices in, is told where their knobs should be, and says where they are.

What it does is C, and needs no GIL: sampler.h reads, actuator.h writes, hotloop.h holds the two together.
"""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from ceiling cimport *
from driver cimport *
from exposure cimport *
from foreign cimport *
from govern cimport *
from hotloop cimport *
from nvml cimport *
from ramp cimport *
from ring cimport *
from scale cimport *
from setting cimport *
from shown cimport *
from written cimport *
from zone cimport *

import os

from eagent.errors import DriverError, RingError

cdef extern from "clock.h" nogil:
    int64_t clock_now_ns()

cdef enum:
    TEXT_MAX = 512

    CALLS_LEAST = 32  # of the kernel for CPUs in one turn: 64 of them are done in four, and a turn takes milliseconds

cdef int64_t TURN_NS = 50_000_000  # of the actuator

CLOCK_FREE = CEILING_FREE  # as a clock: not locked

# What becomes of what somebody else writes, by foreign.h's numbers: as the operator wants it, and as it came.
POLICIES = ("overrule", "respect", "report")
PRESENCES = ("here", "parting", "gone")  # by presence.h's numbers
FATES = (None, "stands", "overruled", "moved back", "taken back", "forgotten by the driver")


def scaled(list limits_mw, list safe_mw, uint64_t envelope_mw):
    """What the loop makes of leased limits whose sum is above the envelope; scale.h says how.

    Args:
        limits_mw: One per device that counts, 0: it is not in the lease.
        safe_mw: Where each of them falls back to.
        envelope_mw: What they may sum to.
    """
    cdef uint32_t limit_mw[LIMITS_MAX]
    cdef uint32_t fallback_mw[LIMITS_MAX]
    cdef uint32_t i, count = len(limits_mw)
    if count > LIMITS_MAX:
        raise DriverError(f"{count} devices; eagent governs at most {LIMITS_MAX} on a host")
    memset(fallback_mw, 0, sizeof(fallback_mw))
    for i in range(count):
        limit_mw[i], fallback_mw[i] = limits_mw[i], safe_mw[i]
    scale_limits(limit_mw, fallback_mw, count, envelope_mw)
    return [limit_mw[i] for i in range(count)]


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

    cdef hotloop_t *_loop  # megabytes, most for CPUs that few hosts have: a page that is not touched costs nothing
    cdef bint _open, _made, _virtual
    cdef Py_buffer _written  # a mapped file, which stays as long as this does
    cdef readonly list numbers  # per GPU, the driver's index of it
    cdef readonly dict left_alone  # by the driver's index, GPUs that did not answer at the start, and why

    def __cinit__(
        self, str library, str ring_path, int period_ms, bint virtual_time=False, uint64_t ramp_mw_per_s=0, places=None
    ):
        """Open the library and make the ring.

        Args:
            library: NVML's name or path, as dlopen takes it.
            ring_path: Where the sample ring is made; an older one is replaced.
            period_ms: How often power is read where it can't be learnt when its sensor publishes.
            virtual_time: Times are those given to `step`, never the clock's.
            ramp_mw_per_s: How fast the sum of limits may rise; 0: as fast as it goes.
            places: Where some must not be opened: of each GPU its index, UUID, PCI address, and whether it is one.

        Raises:
            DriverError: no usable NVML, or no device that answers.
            RingError: the ring can't be made.
        """
        cdef char problem[TEXT_MAX]
        cdef nvmlDevice_t handles[LIMITS_MAX]
        cdef unsigned int count = 0
        cdef unsigned int flags = NVML_INIT_FLAG_NO_ATTACH if places else 0
        cdef bytes name = library.encode()
        cdef const char *path = name
        cdef int code
        cdef uint32_t i
        self._loop = <hotloop_t *> calloc(1, sizeof(hotloop_t))
        if self._loop == NULL:
            raise MemoryError
        self._loop.ring.fd = -1
        # A driver may hang in any of its calls: they must not take Python's lock along.
        with nogil:
            code = nvml_open(&self._loop.nvml, path, flags, problem, TEXT_MAX)
        if code:
            raise DriverError(problem.decode("utf-8", "replace"))
        self._open = True
        with nogil:
            code = self._loop.nvml.device_count(&count)
        self._check(code, "device count")
        if count == 0:
            raise DriverError("the driver shows no GPU")
        if count > LIMITS_MAX:
            raise DriverError(f"{count} GPUs; eagent governs at most {LIMITS_MAX} on a host")
        self._find(places, count, handles)
        cdef int64_t beaten_ns = ring_beaten_ns(ring_path.encode())
        code = ring_create(&self._loop.ring, ring_path.encode())
        if code:
            raise RingError(f"{ring_path}: {os.strerror(-code)}: the sample ring can't be made here")
        hotloop_init(self._loop, len(self.numbers), handles, <int64_t> period_ms * 1_000_000, virtual_time)
        self._virtual = virtual_time
        self._loop.actuator.begun_ns = beaten_ns
        self._loop.actuator.limits.ramp.most_mw = ramp_mw_per_s
        self._made = True
        for i in range(self._loop.actuator.gpus):
            self._loop.actuator.told.presence[i] = PRESENCES.index("gone" if handles[i] == NULL else "here")

    cdef _find(self, list places, unsigned int count, nvmlDevice_t *handles):
        """Get the handles of those that answer: one that is lost must not cost the others their warden.

        Args:
            places: Those that may be opened, each at its address; None: all, by their index.
            count: How many that are.
            handles: Where they go; NULL of one that must not be opened.
        """
        cdef unsigned int number
        cdef uint32_t found = 0
        cdef nvmlReturn_t code
        cdef driver_gpu_t *gpu
        self.numbers, self.left_alone = [], {}
        for number, uuid, bus_id, is_gone in places or [(k, "", "", False) for k in range(count)]:
            gpu, handles[found], code = &self._loop.driver.gpu[found], NULL, NVML_SUCCESS
            _copy(&gpu.uuid[0], uuid, sizeof(gpu.uuid))
            _copy(&gpu.bus_id[0], bus_id, sizeof(gpu.bus_id))
            if not is_gone:
                code = self._open_one(number, places is not None, gpu, &handles[found])
            if code == NVML_SUCCESS:
                self.numbers.append(number)
                found += 1
            else:
                self.left_alone[number] = reason(&self._loop.nvml, code)
        if found == 0:
            raise DriverError(f"none of {len(self.left_alone)} GPUs answers: {next(iter(self.left_alone.values()))}")

    cdef nvmlReturn_t _open_one(self, unsigned int i, bint is_placed, driver_gpu_t *gpu, nvmlDevice_t *handle):
        cdef nvmlReturn_t code
        cdef char uuid[96]
        with nogil:
            if is_placed:
                return nvml_at(&self._loop.nvml, gpu.bus_id, gpu.uuid, handle)
            code = self._loop.nvml.device_by_index(i, handle)
            return self._loop.nvml.device_uuid(handle[0], uuid, sizeof(uuid)) if code == NVML_SUCCESS else code

    def __dealloc__(self):
        if self._loop == NULL:
            return
        self.close()
        if self._made:
            hotloop_destroy(self._loop)
        PyBuffer_Release(&self._written)
        free(self._loop)

    def close(self):
        """Stop using the driver and the ring. The ring file stays: its readers see the silence."""
        if self._open:
            self._open = False
            with nogil:
                nvml_close(&self._loop.nvml)
        ring_close(&self._loop.ring)

    cdef _see(self, void *shown, const void *source, size_t size):
        """Copy what the last turn has left."""
        pthread_mutex_lock(&self._loop.actuator.lock)
        memcpy(shown, source, size)
        pthread_mutex_unlock(&self._loop.actuator.lock)

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
        return self._loop.actuator.gpus

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
        cdef uint32_t i = self._loop.actuator.limits.count
        cdef zone_t zone
        if i >= LIMITS_MAX or len(limit_paths) > ZONE_LIMITS:
            raise DriverError(f"more than {LIMITS_MAX} devices, or {ZONE_LIMITS} power limits of one")
        memset(&zone, 0, sizeof(zone))
        _copy(&zone.energy_path[0], energy_path, ATTRIBUTE_PATH)
        _copy(&zone.enabled_path[0], enabled_path, ATTRIBUTE_PATH)
        for k, path in enumerate(limit_paths):
            _copy(&zone.limit_path[k][0], path, ATTRIBUTE_PATH)
        try:
            zone.range_uj = range_uj
        except OverflowError:
            raise DriverError(f"{energy_path}: counts up to {range_uj}, which is none that a counter has") from None
        zone.limits = len(limit_paths)
        hotloop_add_package(self._loop, &zone)
        self.own(i, owner_uw)
        actuator_listen(&self._loop.actuator)
        limits_read(&self._loop.actuator.limits, i, 0)
        actuator_show(&self._loop.actuator)
        return i

    def own(self, uint32_t i, list owner_uw):
        """Say what the limits of package `i` were before us: none is written above it. Thread-safe."""
        cdef uint32_t k
        cdef uint64_t each_uw[ZONE_LIMITS]
        memset(each_uw, 0, sizeof(each_uw))
        for k in range(len(owner_uw)):
            each_uw[k] = owner_uw[k]
        memcpy(actuator_tell(&self._loop.actuator).owner_uw[i], each_uw, sizeof(each_uw))
        actuator_told(&self._loop.actuator)

    def add_settings(self, list paths):
        """Take in attributes that texts are written to, before the loop runs; later texts are in their order.

        Raises:
            DriverError: there is no room for them.
        """
        cdef settings_t *settings = &self._loop.actuator.settings
        cdef uint32_t count = settings.count
        if count + len(paths) > SETTINGS_MAX:
            raise DriverError(f"{count + len(paths)} attributes of CPUs; eagent governs at most {SETTINGS_MAX}")
        for k, path in enumerate(paths):
            _copy(&settings.each[count + k].path[0], path, ATTRIBUTE_PATH)
        count += len(paths)
        settings.count = count
        # However many there are, in a second each of them has had its turn.
        settings.calls_max = max(CALLS_LEAST, 1 + count * TURN_NS // 1_000_000_000)

    def describe(self, uint32_t i):
        """What the driver says of device `i`: uuid, name, pci_bus_id, architecture, limits in mW, clocks_mhz.

        Before the loop runs. A limit is None where the device does not tell it; clocks_mhz are those that it can be
        locked to, ascending.
        """
        cdef nvml_about_t about
        cdef nvmlReturn_t code
        with nogil:
            code = nvml_describe(&self._loop.nvml, self._loop.actuator.limits.devices[i].handle, &about)
        self._check(code, f"gpu{self.numbers[i]}: {about.asked_for.decode()}")
        self._loop.actuator.limits.devices[i].highest_mw = about.most_mw
        self._loop.actuator.limits.devices[i].requested_mw = about.limit_mw
        facts = facts_shown(&about)
        self._loop.actuator.ceilings.devices[i].lowest_mhz = facts["clocks_mhz"][0] if about.clocks else 0
        actuator_show(&self._loop.actuator)
        return facts

    def uuid(self, uint32_t i):
        """The UUID of GPU `i`, which need not be open."""
        return self._loop.driver.gpu[i].uuid.decode("utf-8", "replace")

    def assume(self, uint32_t i, uint32_t highest_mw, uint32_t lowest_mhz):
        """What `describe` would say of GPU `i`, which is not opened. Before the loop runs."""
        self._loop.actuator.limits.devices[i].highest_mw = highest_mw
        self._loop.actuator.ceilings.devices[i].lowest_mhz = lowest_mhz

    @property
    def can_part(self):
        """Whether this driver lets one GPU be given up while the others are governed on."""
        return bool(driver_can_part(&self._loop.driver))

    def present(self, list presences):
        """Say per GPU whether it is "here", is "parting", or is to be "gone": open no more. Thread-safe."""
        cdef uint32_t i
        cdef setpoints_t *told
        numbers = [PRESENCES.index(each) for each in presences]
        told = actuator_tell(&self._loop.actuator)
        for i in range(self._loop.actuator.gpus):
            told.presence[i] = numbers[i]
        actuator_told(&self._loop.actuator)

    def probe(self, uint32_t i, uint32_t limit_mw):
        """Write a limit that is in force already; None if the driver took it, else the driver's reason. Thread-safe.

        A write that changes nothing is the only honest test of the privilege. Its value must be in the journal. Where
        somebody has moved the limit since, theirs is not written over.
        """
        cdef nvmlReturn_t code
        with nogil:
            code = driver_probe(&self._loop.driver, i, limit_mw)
        return reason(&self._loop.nvml, code)

    def lease(self, list limits_mw, list clocks_mhz, list texts, int64_t until_ns):
        """Hold these until the monotonic time. Thread-safe.

        Args:
            limits_mw: One per device, 0: leave it alone.
            clocks_mhz: One per GPU, 0: leave it alone, CLOCK_FREE: no lock.
            texts: One per setting, empty: leave it alone.
            until_ns: The end.
        """
        cdef vector_t vector
        cdef setpoints_t *told
        self._fill(&vector, limits_mw, clocks_mhz, texts)
        told = actuator_tell(&self._loop.actuator)
        told.lease = vector
        told.lease_until_ns = until_ns
        actuator_told(&self._loop.actuator)

    def fall_back(self, list limits_mw, list clocks_mhz, list texts, uint64_t envelope_mw):
        """Hold these while no lease runs; never raise the sum of limits above the envelope (0: none). Thread-safe."""
        cdef vector_t vector
        cdef setpoints_t *told
        self._fill(&vector, limits_mw, clocks_mhz, texts)
        told = actuator_tell(&self._loop.actuator)
        told.fallback = vector
        told.envelope_mw = envelope_mw
        actuator_told(&self._loop.actuator)

    cdef _fill(self, vector_t *vector, list limits_mw, list clocks_mhz, list texts):
        cdef uint32_t i
        memset(vector, 0, sizeof(vector_t))
        for i in range(self._loop.actuator.limits.count):
            vector.limit_mw[i] = limits_mw[i]
        for i in range(self._loop.actuator.gpus):
            vector.clock_mhz[i] = clocks_mhz[i]
        for i in range(self._loop.actuator.settings.count):
            _copy(&vector.text[i][0], texts[i], SETTING_TEXT)

    def release(self):
        """End the lease now. Thread-safe."""
        actuator_tell(&self._loop.actuator).lease_until_ns = 0
        actuator_told(&self._loop.actuator)

    def governed(self, bint lease_over):
        """Whether a whole turn has gone by what was last said and, if asked, began after the lease's end. Thread-safe.

        Until then what was read of a knob may be what a turn that still runs is about to change.
        """
        cdef actuator_t *actuator = &self._loop.actuator
        cdef bint done
        pthread_mutex_lock(&actuator.lock)
        done = actuator.shown.generation == actuator.told.generation
        if lease_over:
            done = done and actuator.shown.turned_ns >= actuator.told.lease_until_ns
        pthread_mutex_unlock(&actuator.lock)
        return done

    def cap(self, uint32_t i, bint capped):
        """Say whether device `i` counts in the sum under the envelope: from when anything else is told. Thread-safe.

        So the loop is never between two envelopes, one with the device and one without it.
        """
        pthread_mutex_lock(&self._loop.actuator.lock)
        self._loop.actuator.told.capped[i] = capped
        pthread_mutex_unlock(&self._loop.actuator.lock)

    def limit_now(self, uint32_t i):
        """Ask the driver what the limit of GPU `i` is in this moment, in mW; None if it does not tell."""
        cdef uint32_t limit_mw
        with nogil:
            limit_mw = driver_limit_mw(&self._loop.driver, i)
        return limit_mw or None

    def limits(self):
        """Per device, as last read back: requested and enforced mW, when somebody else changed it (ns), problem.

        The last is the wish that is in force, in mW: of a package all of its limits are where it puts them. None each
        where there is none.
        """
        cdef uint32_t i
        cdef limit_t shown[LIMITS_MAX]
        self._see(shown, self._loop.actuator.shown.limits, sizeof(shown))
        return [limit_shown(&self._loop.nvml, &shown[i]) for i in range(self._loop.actuator.limits.count)]

    def ceilings(self):
        """Per GPU: the clock ceiling that our last write set (CLOCK_FREE: none, None: unknown), and its problem."""
        cdef uint32_t i
        cdef ceiling_t shown[CEILINGS_MAX]
        self._see(shown, self._loop.actuator.shown.ceilings, sizeof(shown))
        return [ceiling_shown(&self._loop.nvml, &shown[i]) for i in range(self._loop.actuator.gpus)]

    def lives(self):
        """Per GPU, what is known of the driver's life under it.

        Each is why there is no driver for it (None: it answers), since when (ns), how often there was evidence that the
        driver has forgotten its settings, when last (ns), whether its limit was ours all the same then, what that was
        in mW, whether its persistence mode is on (None: not known), why that could not be switched at the last try, and
        whether it is given up and not open here.
        """
        cdef uint32_t i
        cdef driver_gpu_shown_t shown[LIMITS_MAX]
        self._see(shown, self._loop.actuator.shown.lives, sizeof(shown))
        return [life_shown(&self._loop.nvml, &shown[i]) for i in range(self._loop.actuator.gpus)]

    def exposures(self):
        """Per device, how long its limit in force was above the one that we held.

        Each is seconds and joules of all of them, since when it is so now (ns; None: it is not), when the last one
        ended (ns; None: there was none), and seconds and joules of the present or else the last one.
        """
        cdef uint32_t i
        cdef exposure_t shown[LIMITS_MAX]
        self._see(shown, self._loop.actuator.shown.exposures, sizeof(shown))
        return [exposure_shown(&shown[i]) for i in range(self._loop.actuator.limits.count)]

    def modes(self, list wanted):
        """Say per GPU whether its persistence mode is to be on, None: it is left alone. Thread-safe."""
        cdef uint32_t i
        cdef setpoints_t *told
        numbers = [DRIVER_MODE_LEFT if on is None else DRIVER_MODE_ON if on else DRIVER_MODE_OFF for on in wanted]
        told = actuator_tell(&self._loop.actuator)
        for i in range(self._loop.actuator.gpus):
            told.mode[i] = numbers[i]
        actuator_told(&self._loop.actuator)

    def heard(self, list forgets):
        """Say per GPU of how often its driver forgot its settings: what must be done before they are set again is done.

        Thread-safe.
        """
        cdef uint32_t i
        cdef setpoints_t *told
        numbers = [int(each) for each in forgets]
        told = actuator_tell(&self._loop.actuator)
        for i in range(self._loop.actuator.gpus):
            told.forgets[i] = numbers[i]
        actuator_told(&self._loop.actuator)

    def settings(self):
        """Per setting: the text as read back since our last write, its errno, when somebody else changed it (ns).

        None each where there is none.
        """
        cdef uint32_t i
        cdef setting_shown_t shown[SETTINGS_MAX]
        self._see(shown, self._loop.actuator.shown.settings, sizeof(shown[0]) * self._loop.actuator.settings.count)
        return [setting_shown(&shown[i]) for i in range(self._loop.actuator.settings.count)]

    def on_foreign(self, str policy):
        """What is to become of what somebody else writes: "overrule", "respect" or "report". Before the loop runs."""
        cdef int number = POLICIES.index(policy)
        self._loop.actuator.limits.on_foreign = <foreign_policy_t> number
        self._loop.actuator.settings.on_foreign = <foreign_policy_t> number

    @property
    def foreign_policy(self):
        """What was last said of that."""
        return POLICIES[<int> self._loop.actuator.limits.on_foreign]

    def let_limit_stand(self, uint32_t i, uint32_t limit_mw):
        """Leave the limit of device `i` to somebody else, who had set it before the loop was there."""
        cdef limit_t *device = &self._loop.actuator.limits.devices[i]
        device.foreign.value_mw, device.foreign.is_uneven = limit_mw, device.is_uneven
        device.foreign.fate = FOREIGN_STANDS

    def note_writes(self, file, dict places):
        """Note in a mapped file what is about to be written to limits, and what was read back. Before the loop runs.

        Args:
            file: The mapping.
            places: By device, where its sixteen bytes begin, the salt of their check, and the mW read back last.
        """
        cdef written_t *written
        cdef size_t offset
        PyBuffer_Release(&self._written)
        PyObject_GetBuffer(file, &self._written, PyBUF_WRITABLE)
        for i, (where, salt, done_mw) in places.items():
            offset = where
            if offset % 8 or offset + sizeof(written_place_t) > <size_t> self._written.len:
                raise ValueError(f"no place for a device at {offset}")
            written = &self._loop.actuator.limits.devices[<uint32_t> i].written
            written.salt, written.done_mw = salt, done_mw
            written.place = <written_place_t *> (<char *> self._written.buf + offset)

    def resume(self, uint32_t i, uint32_t wish_mw, uint32_t done_mw, uint32_t prior_mw):
        """Go on from what the loop before this one wrote last to the limit of device `i`. Before the loop runs.

        Args:
            i: The device.
            wish_mw: What it was about to write, or wrote; 0: nothing.
            done_mw: What it read back last after a write; 0: nothing.
            prior_mw: Where the limit goes back to.
        """
        cdef int64_t now_ns = 0 if self._virtual else clock_now_ns()
        with nogil:
            limits_resume(&self._loop.actuator.limits, i, wish_mw, done_mw, prior_mw, now_ns)
        actuator_show(&self._loop.actuator)

    def let_text_stand(self, uint32_t i, str text):
        """Likewise of a setting."""
        cdef setting_t *setting = &self._loop.actuator.settings.each[i]
        _copy(&setting.foreign.text[0], text, SETTING_TEXT)
        setting.foreign.fate = FOREIGN_STANDS

    def take_back(self, list limits, bint texts):
        """Let these limits, by their numbers, and all texts if told, be ours again. Thread-safe."""
        cdef uint32_t i
        cdef setpoints_t *told = actuator_tell(&self._loop.actuator)
        for i in range(LIMITS_MAX):
            if i in limits:
                told.limits_taken_back[i] += 1
        told.texts_taken_back += texts
        actuator_told(&self._loop.actuator)

    def lock_again(self, uint32_t i):
        """Write the clock ceiling of GPU `i` again, if one is wished: it is not in force. Thread-safe."""
        actuator_tell(&self._loop.actuator).clocks_again[i] += 1
        actuator_told(&self._loop.actuator)

    def foreign_limits(self):
        """By device, what somebody else last did to its limit: times, when (ns), to what, from what (mW), its fate.

        Only of devices where somebody did. None for what is not known. Thread-safe.
        """
        cdef limit_t shown[LIMITS_MAX]
        self._see(shown, self._loop.actuator.shown.limits, sizeof(shown))
        return foreign_limits_shown(shown, self._loop.actuator.limits.count, FATES)

    def foreign_texts(self):
        """By setting, likewise; from and to what are texts."""
        cdef setting_shown_t shown[SETTINGS_MAX]
        self._see(shown, self._loop.actuator.shown.settings, sizeof(shown[0]) * self._loop.actuator.settings.count)
        return foreign_texts_shown(shown, self._loop.actuator.settings.count, FATES)

    def beats(self):
        """The last signs of life of the halves that read and write, monotonic ns, 0: none. Thread-safe till `close`."""
        return self._loop.ring.header.stats.heartbeat_ns, self._loop.ring.header.stats.actuator_beat_ns

    def step(self, int64_t now_ns):
        """Take one turn at a time of the caller's: this is the loop in virtual time.

        Returns:
            When the next turn should come, to read every sensor when it is due.
        """
        cdef int64_t next_ns
        with nogil:
            next_ns = hotloop_step(self._loop, now_ns)
        return next_ns

    def sample(self):
        """Read until `stop`: the body of the loop's first thread. Holds no GIL while it runs."""
        with nogil:
            hotloop_sample(self._loop)

    def actuate(self):
        """Write until `stop`: the body of the loop's second thread. Holds no GIL while it runs."""
        with nogil:
            hotloop_actuate(self._loop)

    def stop(self):
        """Make `sample` and `actuate` return, each when it has done what it is at. Thread-safe."""
        hotloop_stop(self._loop)
