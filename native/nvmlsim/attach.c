#include "nvmlsim/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define FIRST_BYTE ((off_t)1 << 40) /* of the locks: the plant has none so far */

static struct {
  int fd;
  uint32_t gpus; /* a bit each */
} attached = {.fd = -1};

/* Of the description and not of the process: so it is given up with the last descriptor, and not with any. */
static int lock_byte(int fd, short type, uint32_t gpu) {
  struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = FIRST_BYTE + gpu, .l_len = 1};
  return fcntl(fd, F_OFD_SETLK, &lock) ? -errno : 0;
}

/* Who has no descriptor left, or comes in the moment of a reset, goes on without: no call fails for that. */
void attach(const char *path, uint32_t gpu) {
  if (attached.gpus >> gpu & 1) return;
  if (attached.fd < 0) attached.fd = open(path, O_RDWR | O_CLOEXEC);
  if (attached.fd >= 0 && lock_byte(attached.fd, F_RDLCK, gpu) == 0) attached.gpus |= 1u << gpu;
}

void attach_none(void) {
  if (attached.fd >= 0) close(attached.fd);
  attached.fd = -1;
  attached.gpus = 0;
}

int attach_alone(const char *path, uint32_t gpu) {
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return -errno;
  const int error = lock_byte(fd, F_WRLCK, gpu);
  if (error == 0) return fd;
  close(fd);
  return error == -EAGAIN || error == -EACCES ? -EBUSY : error;
}
