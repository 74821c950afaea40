#include "written.h"

#include <stddef.h>

/* The mixing of splitmix64: each value has its own check. */
uint64_t written_check(uint64_t values, uint64_t salt) {
  uint64_t mixed = values + salt;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ull;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebull;
  return mixed ^ (mixed >> 31);
}

static void put(const written_t *written, uint32_t wish_mw) {
  const uint64_t values = (uint64_t)written->done_mw << 32 | wish_mw;
  __atomic_store_n(&written->place->values, values, __ATOMIC_RELAXED);
  __atomic_store_n(&written->place->check, written_check(values, written->salt), __ATOMIC_RELEASE);
}

void written_begin(const written_t *written, uint32_t wish_mw) {
  if (written->place) put(written, wish_mw);
}

void written_end(written_t *written, uint32_t wish_mw, uint32_t found_mw) {
  written->done_mw = found_mw;
  if (written->place) put(written, wish_mw);
}
