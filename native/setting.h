/* Attributes of the kernel that are held at a text: CPU frequency ceilings and energy preferences.
 *
 * The kernel lets a worker bring a frequency bound into force, and may make something else of it, a step that the
 * hardware has. What is read back once it has settled is what is held; what it becomes later was somebody else.
 */
#ifndef EAGENT_SETTING_H
#define EAGENT_SETTING_H

#include "attribute.h"

#define SETTINGS_MAX 4096u /* two knobs of 2048 CPUs */
#define SETTING_TEXT 24u

typedef char setting_text_t[SETTING_TEXT];

typedef struct setting {
  char path[ATTRIBUTE_PATH];
  setting_text_t asked; /* our last write; empty: none stands */
  setting_text_t held;  /* as read back after it; empty: not yet */
  int error;            /* errno of the last try; 0: it went well */
  int64_t asked_ns, due_ns;
  int64_t foreign_ns; /* when it was last found changed by somebody else; 0: never */
} setting_t;

/* What of one is told. */
typedef struct setting_shown {
  setting_text_t held;
  int error;
  int64_t foreign_ns;
} setting_shown_t;

typedef struct settings {
  setting_t each[SETTINGS_MAX];
  uint32_t count, next; /* next: whose turn it is */
  uint32_t calls_max;   /* calls of the kernel in one turn */
  uint32_t calls;       /* in the last one */
  uint64_t writes, write_errors;
} settings_t;

/* Take one turn towards the wishes (empty: leave it alone) at the monotonic time now_ns. A turn is bounded in calls of
 * the kernel, so that many CPUs don't keep the caller long. Returns whether anything was written. */
int settings_govern(settings_t *settings, const setting_text_t *wanted, int64_t now_ns);

/* Returns whether anything is told that was not in `out` before. */
int settings_show(const settings_t *settings, setting_shown_t out[SETTINGS_MAX]);

#endif
