/* One attribute of the kernel under /sys: read, or written, in one call as the kernel wants it. */
#ifndef EAGENT_ATTRIBUTE_H
#define EAGENT_ATTRIBUTE_H

#include <stddef.h>
#include <stdint.h>

#define ATTRIBUTE_PATH 512u

/* The text without blanks at its end, terminated. 0 or -errno; -EMSGSIZE if it does not fit. */
int attribute_read(const char *path, char *text, size_t room);
/* 0 or -errno. Never makes a file. */
int attribute_write(const char *path, const char *text);

/* The same for a whole number; -EINVAL if there is none. */
int attribute_read_whole(const char *path, uint64_t *value);
int attribute_write_whole(const char *path, uint64_t value);

#endif
