/* What was last written to a limit, where the next warden finds it, however this one dies.
 *
 * The place is in a mapped file: two plain stores, and the kernel keeps them. It holds the wish from before the call
 * until after it, beside what was read back last, because who dies between the two does not know which of them stands.
 * The second word tells whether the first is whole. written.py has the same form.
 */
#ifndef EAGENT_WRITTEN_H
#define EAGENT_WRITTEN_H

#include <stdint.h>

typedef struct written_place {
  uint64_t values; /* low half: what was to be written last, in mW; high half: what was read back last; 0: nothing */
  uint64_t check;
} written_place_t;

typedef struct written {
  written_place_t *place; /* NULL: nobody wants to know */
  uint64_t salt;          /* the device's and the boot's own, in the check */
  uint32_t done_mw;
} written_t;

uint64_t written_check(uint64_t values, uint64_t salt);
/* This is about to be written. */
void written_begin(const written_t *written, uint32_t wish_mw);
/* That was written, and this read back. */
void written_end(written_t *written, uint32_t wish_mw, uint32_t found_mw);

#endif
