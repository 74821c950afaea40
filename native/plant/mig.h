/* MIG: a GPU divided into instances. Power, clocks and limits stay those of the whole board.
 *
 * The division is the host's, as its operator's scripts make it in every boot; the mode is the driver's to change. A
 * mode that is set while a process is on the GPU waits for the next boot.
 */
#ifndef EAGENT_PLANT_MIG_H
#define EAGENT_PLANT_MIG_H

#include "plant/host.h"

#define PLANT_MIG_MAX      7u  /* instances, and slices, of a GPU */
#define PLANT_MIG_ID_BYTES 48u /* "MIG-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" and its end */

typedef struct plant_mig {
  uint32_t mode, pending; /* 0 off, 1 on */
  uint32_t instances;     /* all of one profile: */
  uint32_t slices;        /* compute slices, of seven */
  uint64_t memory_b;
} plant_mig_t;

/* -ENOTSUP for a GPU that cannot be divided. */
int plant_host_mig(plant_host_t *host, uint32_t gpu, plant_mig_t *mig);
/* The lab's: turn MIG on, divided so, or off (instances 0), whatever runs. -EINVAL for more than the GPU has. */
int plant_host_divide(plant_host_t *host, uint32_t gpu, uint32_t instances, uint32_t slices, uint64_t memory_b);
/* The driver's: the mode alone. -EBUSY: a process is on the GPU, so the mode is pending. */
int plant_host_set_mig_mode(plant_host_t *host, uint32_t gpu, uint32_t mode);
void plant_host_mig_id(const plant_host_t *host, uint32_t gpu, uint32_t instance, char id[PLANT_MIG_ID_BYTES]);

struct state; /* of file.h, which includes this */
struct spec;
int mig_is_sane(const struct spec *spec, const plant_mig_t *mig);
/* With a boot what is pending comes into force. */
void mig_boot(struct state *state);

#endif
