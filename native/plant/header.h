/* What a file says of itself before it is mapped: is it a simulated host, of which version, is all of it there. */
#ifndef EAGENT_PLANT_HEADER_H
#define EAGENT_PLANT_HEADER_H

#include <stdint.h>

/* How the file of every version begins. */
typedef struct header {
  uint64_t magic;
  uint32_t version, active;
  uint64_t size;
} header_t;

/* 0: a host that this build can map. -EINVAL: no simulated host, or one that was never finished. -EPROTONOSUPPORT: made
 * by another version or build of eagent. -EBADMSG: not all of it is there. */
int header_check(int fd);

#endif
