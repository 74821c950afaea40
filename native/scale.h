/* A vector of power limits, brought under an envelope that has become too small for it. */
#ifndef EAGENT_SCALE_H
#define EAGENT_SCALE_H

#include <stdint.h>

/* Scale the limits (0: not counted) until their sum is within the envelope: what each has above its safe cap shrinks by
 * one factor, rounded down, and those that have nothing above it stay. A vector that fits stays as it is. Where the
 * safe caps themselves don't fit, each is at most at its own. */
void scale_limits(uint32_t *limit_mw, const uint32_t *safe_mw, uint32_t count, uint64_t envelope_mw);

#endif
