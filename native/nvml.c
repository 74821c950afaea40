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

int nvml_open(nvml_t *nvml, const char *library, char *problem, size_t room) {
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
  nvmlReturn_t code = nvml->init();
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

uint32_t nvml_clocks(const nvml_t *nvml, nvmlDevice_t device, unsigned int *out, unsigned int room) {
  unsigned int memory_mhz[MEMORY_CLOCKS], count = MEMORY_CLOCKS, highest_mhz = 0;
  if (!nvml->clock_lock || !nvml->clock_reset || !nvml->memory_clocks || !nvml->graphics_clocks) return 0;
  if (nvml->memory_clocks(device, &count, memory_mhz) != NVML_SUCCESS || count == 0) return 0;
  for (unsigned int i = 0; i < count; i++)
    if (memory_mhz[i] > highest_mhz) highest_mhz = memory_mhz[i];
  return nvml->graphics_clocks(device, highest_mhz, &room, out) == NVML_SUCCESS ? room : 0;
}

const char *nvml_text(const nvml_t *nvml, nvmlReturn_t code) {
  const char *text = nvml->error_string ? nvml->error_string(code) : NULL;
  return text ? text : "Unknown Error";
}
