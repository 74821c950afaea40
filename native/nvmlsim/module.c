#include "nvmlsim/module.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME  "nvidia"
#define DRAFT ".nvidia.new"

/* The directory beside the host's file; -1: there is none. */
static int open_lives(const char *path) {
  char place[PATH_MAX];
  const char *slash = strrchr(path, '/');
  const int length = slash ? (int)(slash - path) : 1;
  if (snprintf(place, sizeof place, "%.*s/driver", length, slash ? path : ".") >= (int)sizeof place) return -1;
  return open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Whether what is shown is this life, or a later one: who was bound long ago shows nothing over it. */
static int is_shown(int lives, uint32_t boot, uint32_t load) {
  char target[64];
  unsigned int shown_boot, shown_load;
  const ssize_t length = readlinkat(lives, NAME, target, sizeof target - 1);
  if (length < 0) return 0;
  target[length] = 0;
  if (sscanf(target, "%u.%u", &shown_boot, &shown_load) != 2) return 0;
  return shown_boot > boot || (shown_boot == boot && shown_load >= load);
}

static void show(int lives, uint32_t boot, uint32_t load) {
  char life[32];
  snprintf(life, sizeof life, "%u.%u", boot, load);
  if (mkdirat(lives, life, 0755) && errno != EEXIST) return;
  unlinkat(lives, DRAFT, 0); /* of who was killed here */
  if (symlinkat(life, lives, DRAFT) == 0) renameat(lives, DRAFT, lives, NAME);
}

void module_show(const char *path, uint32_t boot, uint32_t load) {
  const int lives = open_lives(path);
  if (lives < 0) return;
  if (!is_shown(lives, boot, load) && flock(lives, LOCK_EX) == 0 && !is_shown(lives, boot, load))
    show(lives, boot, load);
  close(lives);
}
