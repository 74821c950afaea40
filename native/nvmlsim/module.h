/* Where the kernel of a simulated host shows that the driver is loaded: the directory of its module in /sys. */
#ifndef EAGENT_NVMLSIM_MODULE_H
#define EAGENT_NVMLSIM_MODULE_H

#include <stdint.h>

/* Show the driver's present life: the so-manieth boot, and the so-manieth loading in it. `path` is the host's.
 *
 * A real kernel makes the module's directory anew with each loading, and gives it a number of its own. Here each life
 * has a directory in <host>/driver, which stays, and `nvidia` there leads to the present one's. The simulated /sys
 * leads to that. Who may not write there shows nothing. */
void module_show(const char *path, uint32_t boot, uint32_t load);

#endif
