/* A record every field of which follows from its number, so that one made of two is seen. */
#ifndef NUMBERED_H
#define NUMBERED_H

#include "ring.h"

static inline ring_record_t numbered(uint64_t number) {
  return (ring_record_t){
      .time_ns = (int64_t)number,
      .value = (int64_t)(number * 2654435761u),
      .device = (uint16_t)(number % 65521),
      .channel = (uint16_t)(number % 251),
      .status = (uint16_t)(number % 7),
      .age = (uint16_t)number,
  };
}

#endif
