/* What every part of the simulated library stands on: is it initialised, which GPU is meant, what does the host say. */
#ifndef EAGENT_NVMLSIM_LIBRARY_H
#define EAGENT_NVMLSIM_LIBRARY_H

#include <stdbool.h>
#include <stdint.h>

#include "nvml_abi.h"
#include "nvmlsim/handle.h"
#include "plant/calls.h"

/* What a client of the driver sees of the device now, in a call that takes the time of its kind and may meet faults.
 * The checks come in the driver's order: UNINITIALIZED, then a bad
 * handle or `out` (the caller's out-parameter) NULL: INVALID_ARGUMENT, then a handle of a MIG instance: NOT_SUPPORTED.
 */
nvmlReturn_t library_sense(nvmlDevice_t device, const void *out, enum plant_call kind, plant_gpu_view_t *view);

/* The same for what needs no sensor: a call of kind PLANT_CALL_OTHER. */
nvmlReturn_t library_look(nvmlDevice_t device, const void *out, plant_gpu_view_t *view);

/* As library_look, for what is the same on every device and needs no look. */
nvmlReturn_t library_check(nvmlDevice_t device, const void *out);

/* For the few calls that mean something for a MIG instance as well: which one, and how its board is divided. A handle
 * of an instance that is no more is an INVALID_ARGUMENT. */
nvmlReturn_t library_look_at_part(nvmlDevice_t device, const void *out, enum plant_call kind, plant_gpu_view_t *view,
                                  handle_t *handle, plant_mig_t *mig);

/* Any other question to the plant: begin, ask it once, hand its answer to end, as with a change. The first asks for no
 * device, the second makes the checks of library_look. */
nvmlReturn_t library_host_begin(plant_host_t **host);
nvmlReturn_t library_read_begin(nvmlDevice_t device, const void *out, enum plant_call kind, plant_host_t **host,
                                uint32_t *gpu);
nvmlReturn_t library_read_end(int plant_status);

nvmlReturn_t library_gpu_count(uint32_t *count);
nvmlReturn_t library_handle(uint32_t gpu, nvmlDevice_t *device);
uint32_t library_gpu(nvmlDevice_t device); /* of a handle that has been checked */

/* A change to a knob: look at the arguments (what is wrong whatever the device is comes before the question of
 * permission, what this device does not take comes after it), then begin, call the plant's setter once, hand its answer
 * to end. On any answer of begin but NVML_SUCCESS (among them NO_PERMISSION) nothing was begun. */
nvmlReturn_t library_change_begin(nvmlDevice_t device, plant_host_t **host, uint32_t *gpu);
/* Likewise for a call that SetAPIRestriction may open to anyone; `open`: PLANT_OPEN_*. */
nvmlReturn_t library_change_begin_if_open(nvmlDevice_t device, uint32_t open, plant_host_t **host, uint32_t *gpu);
nvmlReturn_t library_change_end(int plant_status);

/* Likewise a reset of a GPU that need not answer; `path` is the host's. It ends with library_read_end. */
nvmlReturn_t library_reset_begin(uint32_t gpu, plant_host_t **host, const char **path);

/* Whether a process of the host still lives. */
bool library_lives(uint32_t pid);

/* Copy `text` and its end into the caller's buffer: INVALID_ARGUMENT without one, INSUFFICIENT_SIZE if it is too short.
 */
nvmlReturn_t library_copy_text(const char *text, char *buffer, unsigned int length);

#endif
