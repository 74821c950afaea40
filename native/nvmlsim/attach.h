/* Which GPUs this process has open. On a real host that is a file of /dev for each, and a GPU is reset only while
 * nobody else has its own open. Here it is a lock on one byte far behind the end of the host's file: the kernel takes
 * it away with the process, whatever ends that, and a child of fork() has it, too. With the library's lock held. */
#ifndef EAGENT_NVMLSIM_ATTACH_H
#define EAGENT_NVMLSIM_ATTACH_H

#include <stdint.h>

/* Open a GPU of the host at `path`, and keep it until attach_none. */
void attach(const char *path, uint32_t gpu);
void attach_none(void);

/* Have a GPU alone, until it is closed: a descriptor, or -errno, of which -EBUSY says that somebody has it open. */
int attach_alone(const char *path, uint32_t gpu);

#endif
