#include "setting.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const int64_t SETTLE_NS = 300000000; /* a worker takes 1 ms, on an emulated kernel under load 100 */
static const int64_t LOOK_NS = 1000000000;  /* a foreign writer shows in a second */
static const int64_t RETRY_NS = 1000000000;

static void ask(settings_t *settings, setting_t *setting, const char *wanted, int64_t now_ns) {
  setting->error = -attribute_write(setting->path, wanted);
  setting->held[0] = setting->asked[0] = 0;
  setting->asked_ns = setting->due_ns = now_ns;
  settings->writes++;
  if (setting->error) {
    settings->write_errors++;
    setting->due_ns = now_ns + RETRY_NS;
  } else {
    strcpy(setting->asked, wanted);
  }
}

/* Whether a text is a number below another one. */
static int is_below(const char *text, const char *other) {
  char *end = NULL, *other_end = NULL;
  const long value = strtol(text, &end, 10), other_value = strtol(other, &other_end, 10);
  return end != text && !*end && other_end != other && !*other_end && value < other_value;
}

/* Somebody else has written `text` where we had `before`. */
static void meet(const settings_t *settings, setting_t *setting, const char *text, const char *before, int64_t now_ns) {
  setting_foreign_t *foreign = &setting->foreign;
  if (foreign->fate != FOREIGN_STANDS) strcpy(foreign->before, before);
  foreign->count++;
  foreign->at_ns = now_ns;
  strcpy(foreign->text, text);
  foreign->wish[0] = setting->held[0] = setting->suspect[0] = 0;
  foreign->fate = settings->on_foreign == FOREIGN_OVERRULE ? FOREIGN_OVERRULED : FOREIGN_STANDS;
  if (foreign->fate == FOREIGN_STANDS) return;
  setting->asked[0] = 0; /* the next turn asks again */
  setting->due_ns = now_ns;
}

/* Look at what stands and is not ours. */
static void look_at_theirs(const settings_t *settings, setting_t *setting, const char *text, int64_t now_ns) {
  if (strcmp(text, setting->foreign.text) == 0) return;
  if (strcmp(text, setting->foreign.before) != 0) {
    meet(settings, setting, text, "", now_ns);
    return;
  }
  setting->foreign.fate = FOREIGN_MOVED_BACK;
  strcpy(setting->held, text);
}

/* What we hold, or had asked for, has become something else. */
static void look_at_changed(settings_t *settings, setting_t *setting, const char *text, int64_t now_ns) {
  setting_text_t ours;
  strcpy(ours, setting->asked);
  if (settings->on_foreign == FOREIGN_OVERRULE || !is_below(text, ours)) {
    meet(settings, setting, text, setting->held, now_ns);
    return;
  }
  strcpy(setting->suspect, text);
  ask(settings, setting, ours, now_ns);
}

/* It rose, to `text`, when we asked for ours once more: what was there was somebody else's. */
static void give_back(settings_t *settings, setting_t *setting, const char *text, int64_t now_ns) {
  setting_text_t theirs, ours;
  strcpy(theirs, setting->suspect);
  strcpy(ours, setting->asked);
  ask(settings, setting, theirs, now_ns);
  if (setting->error) return; /* it stays suspect, and is asked for and given back again */
  strcpy(setting->asked, ours);
  meet(settings, setting, theirs, text, now_ns);
  setting->due_ns = now_ns + LOOK_NS;
}

static void look(settings_t *settings, setting_t *setting, int64_t now_ns) {
  setting_text_t text;
  setting->error = -attribute_read(setting->path, text, sizeof text);
  setting->due_ns = now_ns + LOOK_NS;
  if (setting->error) return;
  const int is_asked = strcmp(text, setting->asked) == 0; /* at last, where something had held it down */
  const int is_settled = is_asked || now_ns >= setting->asked_ns + SETTLE_NS;
  if (setting->foreign.fate == FOREIGN_STANDS) {
    look_at_theirs(settings, setting, text, now_ns);
  } else if (setting->held[0] && !is_asked && strcmp(text, setting->held) != 0) {
    look_at_changed(settings, setting, text, now_ns);
  } else if (setting->suspect[0] && is_settled && is_below(setting->suspect, text)) {
    give_back(settings, setting, text, now_ns);
  } else if (is_settled) {
    strcpy(setting->held, text);
    setting->suspect[0] = 0;
  } else {
    setting->due_ns = now_ns;
  }
}

/* Whether somebody else's text stands against this wish of ours. */
static int stands(const settings_t *settings, setting_t *setting, const char *wanted) {
  setting_foreign_t *foreign = &setting->foreign;
  if (foreign->fate != FOREIGN_STANDS) return 0;
  if (settings->on_foreign != FOREIGN_REPORT) return 1;
  if (!foreign->wish[0]) strcpy(foreign->wish, wanted);
  if (strcmp(foreign->wish, wanted) == 0) return 1;
  foreign->fate = FOREIGN_TAKEN_BACK;
  setting->asked[0] = 0;
  return 0;
}

int settings_govern(settings_t *settings, const setting_text_t *wanted, int64_t now_ns) {
  const uint64_t writes = settings->writes;
  uint32_t calls = 0;
  for (uint32_t i = 0; i < settings->count && calls < settings->calls_max; i++) {
    uint32_t place = (settings->next + i) % settings->count;
    setting_t *setting = &settings->each[place];
    if (!wanted[place][0]) {
      setting->asked[0] = setting->held[0] = setting->suspect[0] = 0;
      setting->due_ns = 0;
      continue;
    }
    int is_new = !stands(settings, setting, wanted[place]) && strcmp(setting->asked, wanted[place]) != 0;
    if (now_ns < setting->due_ns && !(is_new && setting->asked[0])) continue; /* only what failed waits for its time */
    if (is_new) {
      ask(settings, setting, wanted[place], now_ns);
    } else {
      look(settings, setting, now_ns);
    }
    if (++calls == settings->calls_max) settings->next = place + 1;
  }
  settings->calls = calls;
  return settings->writes != writes;
}

void settings_take_back(settings_t *settings) {
  for (uint32_t i = 0; i < settings->count; i++) {
    setting_t *setting = &settings->each[i];
    if (setting->foreign.fate != FOREIGN_STANDS) continue;
    setting->foreign.fate = FOREIGN_TAKEN_BACK;
    setting->asked[0] = 0; /* the next turn asks again */
    setting->due_ns = 0;
  }
}

int settings_show(const settings_t *settings, setting_shown_t out[SETTINGS_MAX]) {
  int changed = 0;
  for (uint32_t i = 0; i < settings->count; i++) {
    const setting_t *setting = &settings->each[i];
    changed |= out[i].error != setting->error || out[i].foreign.count != setting->foreign.count ||
               out[i].foreign.fate != setting->foreign.fate || strcmp(out[i].held, setting->held) != 0;
    memcpy(out[i].held, setting->held, sizeof out[i].held);
    out[i].error = setting->error;
    out[i].foreign = setting->foreign;
  }
  return changed;
}
