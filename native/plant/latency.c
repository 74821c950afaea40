/* The buckets in which vLLM counts latencies; it is these that a policy has to do with. */
#include "plant/load.h"

#define BOUNDS_MAX (PLANT_LATENCY_BUCKETS - 1)

static const struct {
  uint32_t count;
  double bounds_s[BOUNDS_MAX];
} kinds[PLANT_LATENCY_KINDS] = {
    [PLANT_FIRST_TOKEN] = {22, {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,  0.25,  0.5,   0.75,
                                1.0,   2.5,   5.0,  7.5,  10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0}},
    [PLANT_BETWEEN_TOKENS] = {19,
                              {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
                               20.0, 40.0, 80.0}},
    [PLANT_WHOLE_REQUEST] = {21, {0.3,  0.5,  0.8,  1.0,  1.5,   2.0,   2.5,   5.0,   10.0,   15.0,  20.0,
                                  30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0}},
};

uint32_t plant_latency_bounds(enum plant_latency kind, const double **bounds_s) {
  *bounds_s = kinds[kind].bounds_s;
  return kinds[kind].count;
}

void latency_count(plant_latencies_t *latencies, enum plant_latency kind, int64_t span_ns) {
  double span_s = (double)span_ns * 1e-9;
  uint32_t bucket = 0;
  while (bucket < kinds[kind].count && span_s > kinds[kind].bounds_s[bucket]) bucket++;
  latencies[kind].counts[bucket]++;
  latencies[kind].sum_s += span_s;
}
