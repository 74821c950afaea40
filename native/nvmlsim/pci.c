/* The PCI address, in the four shapes that NVML has had for it. An older name must not write past its older, smaller
 * struct: callers' buffers end there. */
#include <stdio.h>

#include "nvmlsim/library.h"

#define PCI_CLASS_DISPLAY    0x03u
#define PCI_CLASS_DISPLAY_3D 0x02u

static void write_bus_id(char (*bus_id)[NVML_DEVICE_PCI_BUS_ID_BUFFER_SIZE], const plant_gpu_view_t *view) {
  snprintf(*bus_id, sizeof *bus_id, "%08X:%02X:%02X.0", view->pci_domain, view->pci_bus, view->pci_device);
}

static void write_short_bus_id(char (*bus_id)[NVML_DEVICE_PCI_BUS_ID_BUFFER_V2_SIZE], const plant_gpu_view_t *view) {
  snprintf(*bus_id, sizeof *bus_id, "%04X:%02X:%02X.0", view->pci_domain, view->pci_bus, view->pci_device);
}

nvmlReturn_t nvmlDeviceGetPciInfo(nvmlDevice_t device, nvmlPciInfo_v2_t *pci) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, pci, &view);
  if (status != NVML_SUCCESS) return status;
  write_short_bus_id(&pci->busId, &view);
  pci->domain = view.pci_domain;
  pci->bus = view.pci_bus;
  pci->device = view.pci_device;
  pci->pciDeviceId = view.pci_device_id;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPciInfo_v2(nvmlDevice_t device, nvmlPciInfo_v2_t *pci) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, pci, &view);
  if (status != NVML_SUCCESS) return status;
  *pci = (nvmlPciInfo_v2_t){.domain = view.pci_domain,
                            .bus = view.pci_bus,
                            .device = view.pci_device,
                            .pciDeviceId = view.pci_device_id,
                            .pciSubSystemId = view.pci_subsystem_id};
  write_short_bus_id(&pci->busId, &view);
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, pci, &view);
  if (status != NVML_SUCCESS) return status;
  *pci = (nvmlPciInfo_t){.domain = view.pci_domain,
                         .bus = view.pci_bus,
                         .device = view.pci_device,
                         .pciDeviceId = view.pci_device_id,
                         .pciSubSystemId = view.pci_subsystem_id};
  write_short_bus_id(&pci->busIdLegacy, &view);
  write_bus_id(&pci->busId, &view);
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPciInfoExt(nvmlDevice_t device, nvmlPciInfoExt_v1_t *pci) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, pci, &view);
  if (status != NVML_SUCCESS) return status;
  if (pci->version != nvmlPciInfoExt_v1) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  *pci = (nvmlPciInfoExt_v1_t){.version = nvmlPciInfoExt_v1,
                               .domain = view.pci_domain,
                               .bus = view.pci_bus,
                               .device = view.pci_device,
                               .pciDeviceId = view.pci_device_id,
                               .pciSubSystemId = view.pci_subsystem_id,
                               .baseClass = PCI_CLASS_DISPLAY,
                               .subClass = PCI_CLASS_DISPLAY_3D};
  write_bus_id(&pci->busId, &view);
  return NVML_SUCCESS;
}
