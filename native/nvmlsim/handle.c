#include "nvmlsim/handle.h"

struct nvmlDevice_st {
  char place; /* a handle is the address of its slot; nothing is stored there */
};

static const struct nvmlDevice_st boards[PLANT_GPUS_MAX], instances[PLANT_GPUS_MAX * PLANT_MIG_MAX];

/* Addresses are compared as numbers: what is below wraps round to far above. */
bool handle_read(nvmlDevice_t device, uint32_t gpus, handle_t *handle) {
  const uintptr_t board = (uintptr_t)device - (uintptr_t)boards;
  const uintptr_t instance = (uintptr_t)device - (uintptr_t)instances;
  if (board < gpus) {
    *handle = (handle_t){.gpu = (uint32_t)board, .instance = WHOLE_BOARD};
    return true;
  }
  if (instance < (uintptr_t)gpus * PLANT_MIG_MAX) {
    *handle = (handle_t){(uint32_t)instance / PLANT_MIG_MAX, (uint32_t)instance % PLANT_MIG_MAX};
    return true;
  }
  return false;
}

nvmlDevice_t handle_of(uint32_t gpu, uint32_t instance) {
  const struct nvmlDevice_st *slot =
      instance == WHOLE_BOARD ? &boards[gpu] : &instances[gpu * PLANT_MIG_MAX + instance];
  return (nvmlDevice_t)slot;
}
