/* A simulated host's power from the wall, and the switch of it: what a BMC has a hand on.
 *
 * Off, the BMC is all that draws. Switching off is a power cut: whatever ran is lost, and so is all that drivers and
 * kernel hold without a disk (limits, locks, governors, counters). Switched on, the host boots for some time, then it
 * is on as it was when it was made, but without the driver's persistence mode, which somebody must ask for in each
 * boot.
 */
#ifndef EAGENT_PLANT_WALL_H
#define EAGENT_PLANT_WALL_H

#include "plant/host.h"

#define PLANT_BOOT_ID_BYTES 37u /* with its terminating zero */

enum plant_power { PLANT_POWER_OFF = 0, PLANT_POWER_BOOTING = 1, PLANT_POWER_ON = 2 };
#define PLANT_POWERS 3u

/* Where each number comes from stands beside it in eagent/sim/supply.py. */
typedef struct plant_supply {
  double standby_w; /* off */
  double boot_w;    /* booting: all that the host draws, of which nothing is entered as a GPU's or a package's */
  double boot_s;
  double rest_w; /* on: all that is neither GPU nor package nor its memory */
} plant_supply_t;

typedef struct plant_wall {
  uint32_t power; /* enum plant_power */
  uint32_t boot;  /* the number of the present boot, or of the last one; the first is 1 */
  int64_t since_ns;
  char boot_id[PLANT_BOOT_ID_BYTES]; /* as in /proc/sys/kernel/random/boot_id; of a boot that has not come far: its own
                                      */
  double power_w;                    /* now */
  /* By enum plant_power, up to now: how long it was so, and the joules that it drew then. */
  int64_t time_ns[PLANT_POWERS];
  double energy_j[PLANT_POWERS];
} plant_wall_t;

const plant_supply_t *plant_host_supply(const plant_host_t *host);
/* 0 or -errno. Switching what is switched so already does nothing; switching off ends a boot. */
int plant_host_switch_on(plant_host_t *host);
int plant_host_switch_off(plant_host_t *host);
int plant_host_wall(plant_host_t *host, plant_wall_t *out);

#endif
