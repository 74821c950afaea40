/* A reader whose looks at power cost what they cost, and who passes over as many as the account of it says. */
#include <stdint.h>
#include <string.h>

#include "shed.h"

static shed_t shed;

void begin(void) {
  memset(&shed, 0, sizeof shed);
}

/* Play so many seconds with this many publications a second; returns the share of time that was spent in the last
 * minute, or in all of it if it is shorter. */
double play(int64_t from_s, int64_t seconds, double publications, double look_ns, double other_ns) {
  double spent_ns = 0, owed = 0;
  const int64_t window_s = seconds < 60 ? seconds : 60;
  for (int64_t s = from_s; s < from_s + seconds; s++) {
    shed_account(&shed, s * 1000000000);
    owed += publications / shed.power.stride;
    const uint64_t looks = (uint64_t)owed;
    owed -= (double)looks;
    const double others_ns = other_ns / shed.other.stride;
    shed.power.spent_ns += (uint64_t)((double)looks * look_ns);
    shed.other.spent_ns += (uint64_t)others_ns;
    if (s >= from_s + seconds - window_s) spent_ns += (double)looks * look_ns + others_ns;
  }
  return spent_ns / ((double)window_s * 1e9);
}

uint32_t stride(void) {
  return shed.power.stride;
}

uint32_t other_stride(void) {
  return shed.other.stride;
}

int64_t since_ns(void) {
  return shed.since_ns;
}
