/* Numbers that look random and are functions of where they stand: (seed, stream, gpu, index) always gives the same
 * value.
 *
 * There is no generator to advance, so nothing depends on the order or the number of questions asked.
 */
#ifndef EAGENT_PLANT_RANDOM_H
#define EAGENT_PLANT_RANDOM_H

#include <stdint.h>

enum random_stream {
  RANDOM_UUID = 1,
  RANDOM_SENSOR_GAIN,
  RANDOM_SENSOR_OFFSET,
  RANDOM_SENSOR_PHASE,
  RANDOM_SENSOR_JITTER,
  RANDOM_SENSOR_NOISE,
  RANDOM_ENERGY_GAIN,
  RANDOM_LIMIT_DELAY,
  RANDOM_CLOCK_DELAY,
  RANDOM_IMBALANCE,
  RANDOM_SAMPLE_NOISE,
  RANDOM_MIG_ID,
  RANDOM_CALL,
  RANDOM_FAULT,
};

static inline uint64_t random_mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

static inline uint64_t random_bits(uint64_t seed, enum random_stream stream, uint32_t gpu, uint64_t index) {
  return random_mix(random_mix(random_mix(seed) ^ ((uint64_t)stream << 32 | gpu)) ^ index);
}

static inline double random_between(double low, double high, uint64_t bits) {
  return low + (high - low) * ((double)(bits >> 11) * 0x1p-53);
}

/* Nearly normal, mean 0, deviation 1, never beyond 3.5: the sum of four 16-bit uniforms. */
static inline double random_normal(uint64_t bits) {
  double sum = 0;
  for (int i = 0; i < 4; i++, bits >>= 16) sum += (double)(bits & 0xffff) / 65536.0 - 0.5;
  return sum * 1.7320508075688772;
}

#endif
