#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define RING_WORDS (sizeof(ring_record_t) / sizeof(uint64_t))

_Static_assert(sizeof(ring_record_t) == 24, "the record's layout is part of RING_VERSION");
_Static_assert(sizeof(ring_header_t) == 512, "the header's layout is part of RING_VERSION");
_Static_assert((RING_CAPACITY & (RING_CAPACITY - 1)) == 0, "slots are found with a mask");

static const size_t RING_BYTES = sizeof(ring_header_t) + RING_CAPACITY * sizeof(ring_record_t);

static int ring_map(ring_t *ring, int protection) {
  void *base = mmap(NULL, RING_BYTES, protection, MAP_SHARED, ring->fd, 0);
  if (base == MAP_FAILED) return -errno;
  ring->header = base;
  ring->records = (ring_record_t *)((char *)base + sizeof(ring_header_t));
  return 0;
}

int ring_create(ring_t *ring, const char *path) {
  *ring = (ring_t){.fd = -1};
  if (unlink(path) && errno != ENOENT) return -errno;
  ring->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
  if (ring->fd < 0) return -errno;
  int error = posix_fallocate(ring->fd, 0, (off_t)RING_BYTES);
  error = error ? -error : ring_map(ring, PROT_READ | PROT_WRITE);
  if (error) {
    ring_close(ring);
    unlink(path);
    return error;
  }
  ring->header->version = RING_VERSION;
  ring->header->record_size = sizeof(ring_record_t);
  ring->header->capacity = RING_CAPACITY;
  ring->header->writer_pid = (uint32_t)getpid();
  /* Last: whoever maps the file before this sees no ring yet. */
  __atomic_store_n(&ring->header->magic, RING_MAGIC, __ATOMIC_RELEASE);
  return 0;
}

int ring_open(ring_t *ring, const char *path) {
  *ring = (ring_t){.fd = -1};
  ring->fd = open(path, O_RDONLY | O_CLOEXEC);
  if (ring->fd < 0) return -errno;
  struct stat status;
  int error = fstat(ring->fd, &status) ? -errno : 0;
  if (!error && status.st_size != (off_t)RING_BYTES) error = -EPROTO;
  if (!error) error = ring_map(ring, PROT_READ);
  if (!error) {
    const ring_header_t *header = ring->header;
    if (__atomic_load_n(&header->magic, __ATOMIC_ACQUIRE) != RING_MAGIC || header->version != RING_VERSION ||
        header->record_size != sizeof(ring_record_t) || header->capacity != RING_CAPACITY)
      error = -EPROTO;
  }
  if (error) ring_close(ring);
  return error;
}

int64_t ring_beaten_ns(const char *path) {
  ring_t ring;
  if (ring_open(&ring, path)) return 0;
  const int64_t beaten_ns = ring.header->stats.heartbeat_ns;
  ring_close(&ring);
  return beaten_ns;
}

void ring_close(ring_t *ring) {
  if (ring->header) munmap(ring->header, RING_BYTES);
  if (ring->fd >= 0) close(ring->fd);
  *ring = (ring_t){.fd = -1};
}

/* A record is copied word by word. Whoever sees a word of a new one sees with it the head as it was when the slot was
 * given up, and knows by its second look at the head that the copy may be torn. */
static void put(ring_record_t *slot, const ring_record_t *record) {
  uint64_t words[RING_WORDS];
  memcpy(words, record, sizeof words);
  for (uint32_t i = 0; i < RING_WORDS; i++) __atomic_store_n((uint64_t *)slot + i, words[i], __ATOMIC_RELEASE);
}

static void get(const ring_record_t *slot, ring_record_t *record) {
  uint64_t words[RING_WORDS];
  for (uint32_t i = 0; i < RING_WORDS; i++) words[i] = __atomic_load_n((const uint64_t *)slot + i, __ATOMIC_ACQUIRE);
  memcpy(record, words, sizeof words);
}

void ring_push(ring_t *ring, const ring_record_t *record) {
  const uint64_t head = ring->header->head; /* only this thread writes it */
  put(&ring->records[head & (RING_CAPACITY - 1)], record);
  __atomic_store_n(&ring->header->head, head + 1, __ATOMIC_RELEASE);
}

uint32_t ring_drain(const ring_t *ring, uint64_t *cursor, ring_record_t *out, uint32_t room, uint64_t *lost) {
  const uint64_t head = __atomic_load_n(&ring->header->head, __ATOMIC_ACQUIRE);
  uint64_t first = *cursor;
  if (head > RING_CAPACITY - 1 && first < head - (RING_CAPACITY - 1)) {
    *lost += head - (RING_CAPACITY - 1) - first;
    first = head - (RING_CAPACITY - 1);
  }
  const uint32_t count = head - first < room ? (uint32_t)(head - first) : room;
  for (uint32_t i = 0; i < count; i++) get(&ring->records[(first + i) & (RING_CAPACITY - 1)], &out[i]);

  /* What the writer may have overwritten while we copied is not to be trusted. */
  const uint64_t now = __atomic_load_n(&ring->header->head, __ATOMIC_RELAXED);
  const uint64_t oldest = now > RING_CAPACITY - 1 ? now - (RING_CAPACITY - 1) : 0;
  const uint32_t torn = oldest > first ? (oldest - first < count ? (uint32_t)(oldest - first) : count) : 0;
  if (torn) {
    memmove(out, out + torn, (count - torn) * sizeof *out);
    *lost += torn;
  }
  *cursor = first + count;
  return count - torn;
}
