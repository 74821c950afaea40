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

  /* On, at the wall: (parts + rest + fans) * (1 + loss_share) + loss, where parts are GPUs, packages and their memory,
   * and fans draw fan * speed^3, at a speed from fan_min to 1 that carries off what the parts make of heat. */
  double rest_w;             /* disks, switches, boards: what does not change */
  double fan_w;              /* all fans at full speed */
  double fan_min;            /* their lowest speed, as a share */
  double fan_full_w;         /* parts' watts at which they run at full speed, at an inlet of 25 degrees */
  double loss_w, loss_share; /* power supplies: in any case, and for each watt that they deliver */
  double inlet_c;            /* the air that comes in */
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
/* Mean watts at the wall per 100 ms since creation, in any state, as far as the log reaches. */
int plant_host_wall_log(plant_host_t *host, uint32_t from, float *out, uint32_t room, uint32_t *count);

#endif
