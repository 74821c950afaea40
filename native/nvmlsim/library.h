/* What every part of the simulated library stands on: is it initialised, which GPU is meant, what does the host say. */
#ifndef EAGENT_NVMLSIM_LIBRARY_H
#define EAGENT_NVMLSIM_LIBRARY_H

#include <stdbool.h>
#include <stdint.h>

#include "nvml_abi.h"
#include "plant/driver.h"

/* What a client of the driver sees of the device now, in a call of a kind that takes its time and may fail. The checks
 * come in the driver's order: UNINITIALIZED, then a bad handle or `out` (the caller's out-parameter) NULL:
 * INVALID_ARGUMENT. */
nvmlReturn_t library_read(nvmlDevice_t device, const void *out, enum plant_call kind, plant_gpu_view_t *view);
/* The same for a call that reads no sensor: of kind PLANT_CALL_OTHER. */
nvmlReturn_t library_look(nvmlDevice_t device, const void *out, plant_gpu_view_t *view);

/* As library_look, for what is the same on every device and needs no look. */
nvmlReturn_t library_check(nvmlDevice_t device, const void *out);

nvmlReturn_t library_gpu_count(uint32_t *count);
nvmlReturn_t library_handle(uint32_t gpu, nvmlDevice_t *device);
uint32_t library_gpu(nvmlDevice_t device); /* of a handle that has been checked */

/* A change to a knob: begin, call the plant's setter once, hand its answer to end. On any answer of begin but
 * NVML_SUCCESS (among them NO_PERMISSION) nothing was begun. */
nvmlReturn_t library_change_begin(nvmlDevice_t device, plant_host_t **host, uint32_t *gpu);
nvmlReturn_t library_change_end(int plant_status);

/* Copy `text` and its end into the caller's buffer: INVALID_ARGUMENT without one, INSUFFICIENT_SIZE if it is too short.
 */
nvmlReturn_t library_copy_text(const char *text, char *buffer, unsigned int length);

#endif
