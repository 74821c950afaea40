/* What the driver's clients have been shown of each GPU's power sensor: the lab's statistic.
 *
 * A publication counts once, whoever asks for it and however often, with its age when it was first shown: in a reading
 * of power or of the energy counter, which it is the source of. The driver's sample buffer is filled at times of its
 * own, and shows none.
 */
#ifndef EAGENT_PLANT_SHOWN_H
#define EAGENT_PLANT_SHOWN_H

#include "plant/host.h"

#define PLANT_SHOWN_AGES 128u /* the n-th counts those that were n ms old, and the last whatever was older */

/* Of one GPU, since the host was made. Who dies while writing it leaves it whole, with one publication too few at most.
 */
typedef struct plant_shown {
  uint64_t last; /* the latest that was shown, as numbered in plant_gpu_view */
  uint64_t ages[PLANT_SHOWN_AGES];
  int64_t age_ns; /* of all of them together */
} plant_shown_t;

/* A client is shown this view. */
void plant_host_show(plant_host_t *host, uint32_t gpu, const plant_gpu_view_t *view);

/* *published: the number of the last publication by now. 0 or -errno. */
int plant_host_shown(plant_host_t *host, uint32_t gpu, plant_shown_t *shown, uint64_t *published);

#endif
