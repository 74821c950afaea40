/* Which devices there are and who they are. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "nvmlsim/library.h"

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) {
  return library_gpu_count(count);
}

nvmlReturn_t nvmlDeviceGetCount(unsigned int *count) {
  return library_gpu_count(count);
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
  return library_handle(index, device);
}

nvmlReturn_t nvmlDeviceGetHandleByIndex(unsigned int index, nvmlDevice_t *device) {
  return library_handle(index, device);
}

/* Who searches opens all that it looks at. NOT_FOUND if no board has that UUID. */
static nvmlReturn_t find_board(const char *uuid, nvmlDevice_t *device) {
  uint32_t count;
  nvmlReturn_t status = library_gpu_count(&count);
  if (status != NVML_SUCCESS) return status;
  if (uuid == NULL || device == NULL) return NVML_ERROR_INVALID_ARGUMENT;
  for (uint32_t gpu = 0; gpu < count; gpu++) {
    nvmlDevice_t candidate;
    plant_gpu_view_t view;
    status = library_handle(gpu, &candidate);
    if (status == NVML_SUCCESS) status = library_look(candidate, &candidate, &view);
    if (status != NVML_SUCCESS) return status;
    if (strcmp(view.uuid, uuid) == 0) {
      *device = candidate;
      return NVML_SUCCESS;
    }
  }
  return NVML_ERROR_NOT_FOUND;
}

static nvmlReturn_t find_instance(const char *uuid, nvmlDevice_t *device) {
  plant_host_t *host;
  const nvmlReturn_t status = library_host_begin(&host);
  if (status != NVML_SUCCESS) return status;
  nvmlReturn_t found = NVML_ERROR_NOT_FOUND;
  for (uint32_t gpu = 0; gpu < plant_host_gpu_count(host); gpu++) {
    plant_mig_t mig;
    const int error = plant_host_mig(host, gpu, &mig);
    if (error == -ENOTSUP) break;
    if (error != 0) return library_read_end(error);
    for (uint32_t instance = 0; instance < mig.instances; instance++) {
      char id[PLANT_MIG_ID_BYTES];
      plant_host_mig_id(host, gpu, instance, id);
      if (strcmp(id, uuid) != 0) continue;
      *device = handle_of(gpu, instance);
      found = NVML_SUCCESS;
    }
  }
  library_read_end(0);
  return found;
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device) {
  const nvmlReturn_t status = find_board(uuid, device);
  return status == NVML_ERROR_NOT_FOUND ? find_instance(uuid, device) : status;
}

/* Domains are written with four or with eight digits; a function, always 0, may follow or not. */
static bool is_at(const plant_gpu_view_t *view, const char *bus_id) {
  unsigned int domain, bus, device;
  return sscanf(bus_id, "%x:%x:%x", &domain, &bus, &device) == 3 && domain == view->pci_domain &&
         bus == view->pci_bus && device == view->pci_device;
}

/* An address leads to its GPU past all others: they are neither asked nor opened. */
nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, nvmlDevice_t *device) {
  plant_host_t *host;
  plant_gpu_view_t view;
  nvmlReturn_t status = library_host_begin(&host);
  if (status != NVML_SUCCESS) return status;
  if (bus_id == NULL || device == NULL) {
    library_read_end(0);
    return NVML_ERROR_INVALID_ARGUMENT;
  }
  const uint32_t count = plant_host_gpu_count(host);
  uint32_t gpu = 0;
  int error = 0;
  for (; gpu < count; gpu++) {
    error = plant_host_view(host, gpu, &view);
    if (error != 0 || is_at(&view, bus_id)) break;
  }
  status = library_read_end(error);
  if (status != NVML_SUCCESS) return status;
  return gpu < count ? library_handle(gpu, device) : NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId(const char *bus_id, nvmlDevice_t *device) {
  return nvmlDeviceGetHandleByPciBusId_v2(bus_id, device);
}

/* An instance bears its profile: compute slices and memory. */
nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length) {
  plant_gpu_view_t view;
  handle_t handle;
  plant_mig_t mig;
  char text[NVML_DEVICE_NAME_V2_BUFFER_SIZE];
  const nvmlReturn_t status = library_look_at_part(device, name, PLANT_CALL_OTHER, &view, &handle, &mig);
  if (status != NVML_SUCCESS) return status;
  if (handle.instance == WHOLE_BOARD) return library_copy_text(view.name, name, length);
  snprintf(text, sizeof text, "%s MIG %ug.%llugb", view.name, mig.slices, (unsigned long long)(mig.memory_b >> 30));
  return library_copy_text(text, name, length);
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length) {
  plant_host_t *host;
  plant_gpu_view_t view;
  handle_t handle;
  plant_mig_t mig;
  char id[PLANT_MIG_ID_BYTES];
  nvmlReturn_t status = library_look_at_part(device, uuid, PLANT_CALL_OTHER, &view, &handle, &mig);
  if (status != NVML_SUCCESS) return status;
  if (handle.instance == WHOLE_BOARD) return library_copy_text(view.uuid, uuid, length);
  status = library_host_begin(&host);
  if (status != NVML_SUCCESS) return status;
  plant_host_mig_id(host, handle.gpu, handle.instance, id);
  library_read_end(0);
  return library_copy_text(id, uuid, length);
}

nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned int *index) {
  const nvmlReturn_t status = library_check(device, index);
  if (status == NVML_SUCCESS) *index = library_gpu(device);
  return status;
}

nvmlReturn_t nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned int *minor) {
  return nvmlDeviceGetIndex(device, minor);
}

nvmlReturn_t nvmlDeviceGetBrand(nvmlDevice_t device, nvmlBrandType_t *brand) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, brand, &view);
  if (status == NVML_SUCCESS) *brand = (nvmlBrandType_t)view.brand;
  return status;
}

nvmlReturn_t nvmlDeviceGetArchitecture(nvmlDevice_t device, nvmlDeviceArchitecture_t *architecture) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, architecture, &view);
  if (status == NVML_SUCCESS) *architecture = view.architecture;
  return status;
}

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, major != NULL ? (const void *)minor : NULL, &view);
  if (status != NVML_SUCCESS) return status;
  *major = (int)view.compute_major;
  *minor = (int)view.compute_minor;
  return NVML_SUCCESS;
}
