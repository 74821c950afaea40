"""The ring as ring.h gives it."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

cdef extern from "ring.h" nogil:
    enum:
        RING_CAPACITY
        RING_VERSION
        RING_AGE_UNIT
        RING_AGE_UNKNOWN
        RING_LATENESSES

    enum ring_channel:
        RING_POWER_INSTANT_MW
        RING_POWER_AVERAGE_MW
        RING_ENERGY_MJ
        RING_SM_CLOCK_MHZ
        RING_GPU_UTILISATION_PCT
        RING_MEMORY_UTILISATION_PCT
        RING_TEMPERATURE_C
        RING_LIMIT_REQUESTED_MW
        RING_LIMIT_ENFORCED_MW
        RING_EVENT_REASONS
        RING_COMPUTE_PROCESSES
        RING_COMPUTE_PID
        RING_MEMORY_USED_B
        RING_PCIE_TX_B
        RING_PCIE_RX_B
        RING_POWER_SAMPLE_MW

    enum ring_status:
        RING_OK
        RING_NOT_SUPPORTED
        RING_NO_PERMISSION
        RING_GPU_LOST
        RING_TIMED_OUT
        RING_FAILED
        RING_SAME
        RING_DETACHED

    ctypedef struct ring_record_t:
        int64_t time_ns
        int64_t value
        uint16_t device
        uint16_t channel
        uint16_t status
        uint16_t age

    ctypedef struct ring_stats_t:
        int64_t started_ns
        int64_t heartbeat_ns
        uint64_t steps
        uint64_t missed
        uint64_t lateness_max_ns
        uint64_t lateness[RING_LATENESSES]
        uint64_t read_ns
        uint64_t write_ns
        uint64_t cpu_ns
        uint64_t reads
        uint64_t writes
        uint64_t read_errors
        uint64_t write_errors
        uint64_t refreshes
        uint64_t refreshes_missed
        uint64_t refreshes_shed
        uint64_t changes
        int64_t shed_since_ns
        int64_t actuator_beat_ns

    ctypedef struct ring_header_t:
        uint32_t version
        uint32_t writer_pid
        uint64_t head
        ring_stats_t stats

    ctypedef struct ring_t:
        ring_header_t *header
        ring_record_t *records
        int fd

    int ring_create(ring_t *ring, const char *path)
    int ring_open(ring_t *ring, const char *path)
    int64_t ring_beaten_ns(const char *path)
    void ring_close(ring_t *ring)
    void ring_push(ring_t *ring, const ring_record_t *record)
    uint32_t ring_drain(const ring_t *ring, uint64_t *cursor, ring_record_t *out, uint32_t room, uint64_t *lost)
