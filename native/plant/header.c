#include "plant/header.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plant/file.h"

_Static_assert(offsetof(header_t, version) == offsetof(plant_file_t, version), "the same in all versions");
_Static_assert(offsetof(header_t, size) == offsetof(plant_file_t, size), "the same in all versions");

/* Its status and header, if it has one; else -EINVAL. */
static int read_header(int fd, struct stat *status, header_t *header) {
  if (fstat(fd, status)) return -errno;
  if (!S_ISREG(status->st_mode) || pread(fd, header, sizeof *header, 0) != sizeof *header) return -EINVAL;
  return header->magic == FILE_MAGIC ? 0 : -EINVAL;
}

int header_check(int fd) {
  struct stat status;
  header_t header;
  int error = read_header(fd, &status, &header);
  if (error) return error;
  if (header.version != FILE_VERSION) return -EPROTONOSUPPORT;
  if ((uint64_t)status.st_size != header.size) return -EBADMSG;
  /* Builds between two releases have one version, and not always one layout. */
  return header.size == sizeof(plant_file_t) ? 0 : -EPROTONOSUPPORT;
}

static void name_version(const header_t *header, char *out, size_t room) {
  if (header->version != FILE_VERSION) {
    snprintf(out, room, "made by another version of eagent (file version %u, this is %u): delete it and make it anew",
             header->version, FILE_VERSION);
  } else {
    snprintf(out, room, "made by another build of eagent (file of %llu bytes, this is %zu): delete it and make it anew",
             (unsigned long long)header->size, sizeof(plant_file_t));
  }
}

void plant_host_complaint(const char *path, int error, char *out, size_t room) {
  struct stat status;
  header_t header = {.version = FILE_VERSION};
  int fd = error == EPROTONOSUPPORT ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd >= 0) {
    read_header(fd, &status, &header);
    close(fd);
    name_version(&header, out, room);
  } else if (error == EINVAL) {
    snprintf(out, room, "not a simulated host");
  } else if (error == EBADMSG) {
    snprintf(out, room, "a simulated host whose file is damaged: delete it and make it anew");
  } else {
    snprintf(out, room, "%s", strerror(error));
  }
}
