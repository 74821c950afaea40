/* Where the knobs should be, as the warden last said: two whole vectors.
 *
 * The lease holds until its time; after it, and before one came, the fallback holds. A knob with 0, or no text, in the
 * vector in force is left alone.
 */
#ifndef EAGENT_SETPOINTS_H
#define EAGENT_SETPOINTS_H

#include "ceiling.h"
#include "govern.h"
#include "presence.h"
#include "setting.h"

typedef struct vector {
  uint32_t limit_mw[LIMITS_MAX];
  uint32_t clock_mhz[CEILINGS_MAX]; /* CEILING_FREE: not locked */
  setting_text_t text[SETTINGS_MAX];
} vector_t;

typedef struct setpoints {
  vector_t lease, fallback;
  int64_t lease_until_ns;
  uint64_t envelope_mw;                       /* the sum of limits must not pass it; 0: no budget */
  uint64_t owner_uw[LIMITS_MAX][ZONE_LIMITS]; /* of packages: what their limits were before us */
  uint32_t forgets[LIMITS_MAX];               /* of GPUs: those that who tells this knows of, and has seen to */
  uint8_t mode[LIMITS_MAX];                   /* of GPUs: DRIVER_MODE_* */
  uint8_t presence[LIMITS_MAX];               /* of GPUs: PRESENCE_* */
  uint8_t capped[LIMITS_MAX];                 /* whether the limit can be set at all */
  uint32_t limits_taken_back[LIMITS_MAX];     /* each counts how often a limit was taken back from somebody else ... */
  uint32_t texts_taken_back;                  /* ... and this all texts */
  uint32_t clocks_again[CEILINGS_MAX];        /* counts how often a ceiling was said not to be in force */
  uint64_t generation;                        /* counts what was said */
} setpoints_t;

#endif
