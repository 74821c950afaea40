/* A reader that is paused before each word that it loads, while the writer makes as many stores as a test says: half a
 * record, or a lap of the ring. Both are the product's own ring.c, on one thread, so that each run can be had again. */
#include <ucontext.h>

#include "numbered.h"

#undef RING_CAPACITY
#define RING_CAPACITY   16u /* so that a lap is short */
#define STORES_A_RECORD 4u  /* three words and the head */

static void before_load(void);
static void before_store(void);

#define __atomic_load_n(from, order) (before_load(), __atomic_load_n(from, order))
#define __atomic_store_n(to, value, order) \
  do {                                     \
    before_store();                        \
    __atomic_store_n(to, value, order);    \
  } while (0)
#include RING_SOURCE

static ring_t ring;
static ucontext_t reader, writer;
static char stack[1 << 16]; /* the writer's */
static int is_writing;
static uint32_t stores_left;
static uint64_t stores_made;
static const uint32_t *pauses; /* stores in each of the reader's pauses */
static uint32_t pauses_left;

static void before_store(void) {
  if (!is_writing) return;
  while (stores_left == 0) swapcontext(&writer, &reader);
  stores_left--;
  stores_made++;
}

static void write_for_ever(void) {
  for (uint64_t number = 0;; number++) {
    ring_record_t record = numbered(number);
    ring_push(&ring, &record);
  }
}

static void let_write(uint32_t stores) {
  if (stores == 0) return;
  stores_left = stores;
  is_writing = 1;
  swapcontext(&reader, &writer);
  is_writing = 0;
}

static void before_load(void) {
  if (is_writing || pauses_left == 0) return;
  pauses_left--;
  let_write(*pauses++);
}

static void begin_to_write(void) {
  getcontext(&writer);
  writer.uc_stack.ss_sp = stack;
  writer.uc_stack.ss_size = sizeof stack;
  makecontext(&writer, write_for_ever, 0);
  stores_made = 0;
}

/* Drain `room` records at a time until all pauses have been, then what is left. Returns how many records are in out,
 * which has room for as many as there are pauses and RING_CAPACITY; tells how many were pushed, and how many lost. */
uint32_t interleave(const char *path, const uint32_t *stores, uint32_t count, uint32_t room, ring_record_t *out,
                    uint64_t *pushed, uint64_t *lost) {
  uint64_t cursor = 0;
  uint32_t taken = 0;
  *lost = 0;
  if (ring_create(&ring, path)) return 0;
  begin_to_write();
  pauses = stores;
  pauses_left = count;
  while (pauses_left > 0) taken += ring_drain(&ring, &cursor, out + taken, room, lost);
  let_write((uint32_t)(-stores_made % STORES_A_RECORD));
  while (cursor < ring.header->head) taken += ring_drain(&ring, &cursor, out + taken, room, lost);
  *pushed = ring.header->head;
  ring_close(&ring);
  return taken;
}
