/* A library that passes for NVML's until it is started: then it does what STUB_NVML says. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int nvmlInit_v2(void) {
  const char *how = getenv("STUB_NVML");
  if (how && strcmp(how, "hang") == 0) pause();
  if (how && strcmp(how, "crash") == 0) abort();
  if (how && *how == '/') close(open(how, O_WRONLY | O_CREAT, 0600)); /* as root's does with /dev/nvidiactl */
  return 9;
}

int nvmlInitWithFlags(unsigned int flags) {
  (void)flags;
  return nvmlInit_v2();
}

const char *nvmlErrorString(int code) {
  (void)code;
  return "Driver Not Loaded";
}
