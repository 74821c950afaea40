/* Attributes of the kernel that are held at a text: CPU frequency ceilings and energy preferences.
 *
 * The kernel lets a worker bring a frequency bound into force, and may make something else of it, a step that the
 * hardware has. What is read back once it has settled is what is held; what it becomes later was somebody else.
 *
 * But for a ceiling that was lowered: that may be the kernel's own doing, for heat or firmware, and then our bound
 * still is in force below it. It is told apart by writing ours once more. What is somebody else's rises to it, and is
 * given back to them at once; what the kernel holds down stays where it is.
 */
#ifndef EAGENT_SETTING_H
#define EAGENT_SETTING_H

#include "attribute.h"
#include "foreign.h"

#define SETTINGS_MAX 4096u /* two knobs of 2048 CPUs */
#define SETTING_TEXT 24u

typedef char setting_text_t[SETTING_TEXT];

/* What somebody else made of it, as foreign.h has it of limits. */
typedef struct setting_foreign {
  uint32_t count;
  foreign_fate_t fate;
  int64_t at_ns;
  setting_text_t text;   /* what was found last */
  setting_text_t before; /* where we had it */
  setting_text_t wish;   /* what we would have it at, reported: when it was found */
} setting_foreign_t;

typedef struct setting {
  char path[ATTRIBUTE_PATH];
  setting_text_t asked;   /* our last write; empty: none stands */
  setting_text_t held;    /* as read back after it; empty: not yet */
  setting_text_t suspect; /* lower than ours: it is being found out whose it is; empty: nothing is */
  int error;              /* errno of the last try; 0: it went well */
  int64_t asked_ns, due_ns;
  setting_foreign_t foreign; /* while it stands, the attribute is left alone */
} setting_t;

/* What of one is told. */
typedef struct setting_shown {
  setting_text_t held;
  int error;
  setting_foreign_t foreign;
} setting_shown_t;

typedef struct settings {
  setting_t each[SETTINGS_MAX];
  uint32_t count, next; /* next: whose turn it is */
  uint32_t calls_max;   /* calls of the kernel in one turn */
  uint32_t calls;       /* in the last one */
  foreign_policy_t on_foreign;
  uint64_t writes, write_errors;
} settings_t;

/* Take one turn towards the wishes (empty: leave it alone) at the monotonic time now_ns. A turn is bounded in calls of
 * the kernel, so that many CPUs don't keep the caller long. Returns whether anything was written. */
int settings_govern(settings_t *settings, const setting_text_t *wanted, int64_t now_ns);

/* Take all of them back from whoever else has set them. */
void settings_take_back(settings_t *settings);

/* Returns whether anything is told that was not in `out` before. */
int settings_show(const settings_t *settings, setting_shown_t out[SETTINGS_MAX]);

#endif
