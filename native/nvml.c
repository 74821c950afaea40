#include "nvml.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define MEMORY_CLOCKS 64u

typedef struct nvml_symbol {
  const char *name;
  size_t offset;
  int required;
} nvml_symbol_t;

static const nvml_symbol_t NVML_SYMBOLS[] = {{"nvmlErrorString", offsetof(nvml_t, error_string), 1},
                                             {"eagent_simulated_host", offsetof(nvml_t, simulated_host), 0},
#define NVML_SYMBOL(field, name) {#name, offsetof(nvml_t, field), 1},
                                             NVML_REQUIRED(NVML_SYMBOL)
#undef NVML_SYMBOL
#define NVML_SYMBOL(field, name) {#name, offsetof(nvml_t, field), 0},
                                                 NVML_OPTIONAL(NVML_SYMBOL)
#undef NVML_SYMBOL
};

int nvml_open(nvml_t *nvml, const char *library, unsigned int flags, char *problem, size_t room) {
  memset(nvml, 0, sizeof *nvml);
  nvml->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (!nvml->library) {
    snprintf(problem, room,
             "NVML library not found: %s; install the NVIDIA driver, or try eagent on a simulated host: `eagent demo`",
             dlerror());
    return -1;
  }
  for (size_t i = 0; i < sizeof NVML_SYMBOLS / sizeof *NVML_SYMBOLS; i++) {
    void *symbol = dlsym(nvml->library, NVML_SYMBOLS[i].name);
    if (!symbol && NVML_SYMBOLS[i].required) {
      snprintf(problem, room, "%s has no %s: not an NVML library that eagent can use", library, NVML_SYMBOLS[i].name);
      dlclose(nvml->library);
      nvml->library = NULL;
      return -1;
    }
    memcpy((char *)nvml + NVML_SYMBOLS[i].offset, &symbol, sizeof symbol);
  }
  nvmlReturn_t code = flags && nvml->init_with ? nvml->init_with(flags) : nvml->init();
  if (code != NVML_SUCCESS) {
    snprintf(problem, room, "NVML of %s does not start: %s", library, nvml_text(nvml, code));
    dlclose(nvml->library);
    nvml->library = NULL;
    return -1;
  }
  return 0;
}

void nvml_close(nvml_t *nvml) {
  if (!nvml->library) return;
  nvml->shutdown();
  dlclose(nvml->library);
  nvml->library = NULL;
}

nvmlReturn_t nvml_at(const nvml_t *nvml, const char *bus_id, const char *uuid, nvmlDevice_t *device) {
  char found[96];
  nvmlReturn_t code = nvml->device_by_pci(bus_id, device);
  if (code == NVML_SUCCESS) code = nvml->device_uuid(*device, found, sizeof found);
  return code == NVML_SUCCESS && strcmp(found, uuid) != 0 ? NVML_ERROR_NOT_FOUND : code;
}

uint32_t nvml_clocks(const nvml_t *nvml, nvmlDevice_t device, unsigned int *out, unsigned int room) {
  unsigned int memory_mhz[MEMORY_CLOCKS], count = MEMORY_CLOCKS, highest_mhz = 0;
  if (!nvml->clock_lock || !nvml->clock_reset || !nvml->memory_clocks || !nvml->graphics_clocks) return 0;
  if (nvml->memory_clocks(device, &count, memory_mhz) != NVML_SUCCESS || count == 0) return 0;
  for (unsigned int i = 0; i < count; i++)
    if (memory_mhz[i] > highest_mhz) highest_mhz = memory_mhz[i];
  return nvml->graphics_clocks(device, highest_mhz, &room, out) == NVML_SUCCESS ? room : 0;
}

static nvmlReturn_t ask_who(const nvml_t *nvml, nvmlDevice_t device, nvml_about_t *about) {
  about->asked_for = "UUID";
  nvmlReturn_t code = nvml->device_uuid(device, about->uuid, sizeof about->uuid);
  if (code != NVML_SUCCESS) return code;
  about->asked_for = "name";
  code = nvml->device_name(device, about->name, sizeof about->name);
  if (code != NVML_SUCCESS) return code;
  about->asked_for = "PCI address";
  return nvml->device_pci(device, &about->pci);
}

nvmlReturn_t nvml_describe(const nvml_t *nvml, nvmlDevice_t device, nvml_about_t *about) {
  memset(about, 0, sizeof *about);
  const nvmlReturn_t code = ask_who(nvml, device, about);
  if (code != NVML_SUCCESS) return code;
  if (!nvml->architecture || nvml->architecture(device, &about->architecture) != NVML_SUCCESS) about->architecture = 0;
  if (nvml->limit_range(device, &about->least_mw, &about->most_mw) != NVML_SUCCESS)
    about->least_mw = about->most_mw = 0;
  if (nvml->limit_default(device, &about->default_mw) != NVML_SUCCESS) about->default_mw = 0;
  if (nvml->limit_get(device, &about->limit_mw) != NVML_SUCCESS) about->limit_mw = 0;
  about->clocks = nvml_clocks(nvml, device, about->clocks_mhz, NVML_CLOCKS_MAX);
  return NVML_SUCCESS;
}

const char *nvml_text(const nvml_t *nvml, nvmlReturn_t code) {
  const char *text = nvml->error_string ? nvml->error_string(code) : NULL;
  return text ? text : "Unknown Error";
}
