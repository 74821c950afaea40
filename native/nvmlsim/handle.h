/* What a handle means: a whole board, or a MIG instance of one. */
#ifndef EAGENT_NVMLSIM_HANDLE_H
#define EAGENT_NVMLSIM_HANDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "nvml_abi.h"
#include "plant/mig.h"

#define WHOLE_BOARD        0xffffffffu /* where an instance's number would be */
#define FIRST_GPU_INSTANCE 1u          /* NVML's id of instance 0; its 0 is the instance that has all slices */

typedef struct handle {
  uint32_t gpu, instance;
} handle_t;

/* A caller may hand in anything: false for what is no handle of one of `gpus` boards. */
bool handle_read(nvmlDevice_t device, uint32_t gpus, handle_t *handle);
nvmlDevice_t handle_of(uint32_t gpu, uint32_t instance);

/* The instance that a board's n-th process is on: they are dealt out. WHOLE_BOARD while it is not divided. */
static inline uint32_t handle_instance_of_process(const plant_mig_t *mig, uint32_t place) {
  return mig->instances ? place % mig->instances : WHOLE_BOARD;
}

#endif
