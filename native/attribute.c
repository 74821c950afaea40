#include "attribute.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WHOLE_TEXT 24u

int attribute_read(const char *path, char *text, size_t room) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  ssize_t size = read(fd, text, room);
  int error = size < 0 ? -errno : 0;
  close(fd);
  if (error) return error;
  if ((size_t)size >= room) return -EMSGSIZE;
  while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == ' ')) size--;
  text[size] = 0;
  return 0;
}

int attribute_write(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  int error = write(fd, text, strlen(text)) < 0 ? -errno : 0;
  if (close(fd) < 0 && !error) error = -errno;
  return error;
}

int attribute_read_whole(const char *path, uint64_t *value) {
  char text[WHOLE_TEXT], *end;
  int error = attribute_read(path, text, sizeof text);
  if (error) return error;
  if (text[0] < '0' || text[0] > '9') return -EINVAL;
  errno = 0;
  *value = strtoull(text, &end, 10);
  return *end || errno ? -EINVAL : 0;
}

int attribute_write_whole(const char *path, uint64_t value) {
  char text[WHOLE_TEXT];
  snprintf(text, sizeof text, "%" PRIu64, value);
  return attribute_write(path, text);
}
