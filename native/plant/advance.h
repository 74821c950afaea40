/* Integration: the only code that moves simulated time. */
#ifndef EAGENT_PLANT_ADVANCE_H
#define EAGENT_PLANT_ADVANCE_H

#include "plant/file.h"

/* Ticks between publications: a process that dies loses ten simulated seconds of work at most. */
#define BUSY_TICKS_MAX 2000

/* With the lock held: what the host's clock says now. 0, or -EIO for a damaged file. */
int advance_now(plant_file_t *file, int64_t *now_ns);
/* Then, with the lock still held: integrate up to `to_ns` and publish. Leaves the virtual clock there. 0, -EIO or
 * -EDQUOT. */
int advance_to(plant_file_t *file, int64_t to_ns);

#endif
