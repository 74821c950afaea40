/* Integration: the only code that moves simulated time. */
#ifndef EAGENT_PLANT_ADVANCE_H
#define EAGENT_PLANT_ADVANCE_H

#include "plant/file.h"

/* Ticks between publications: a process that dies loses ten simulated seconds of work at most. */
#define BUSY_TICKS_MAX 2000

/* With the lock held and the truth looked at: integrate up to `to_ns` and publish. Leaves the virtual clock there. 0,
 * -EIO for a damaged file, or -EDQUOT. */
int advance_to(plant_file_t *file, const state_t *truth, int64_t to_ns);
/* Likewise up to what the host's clock says is now. */
int advance_now(plant_file_t *file, const state_t *truth, int64_t *now_ns);

#endif
