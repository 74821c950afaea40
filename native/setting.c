#include "setting.h"

#include <errno.h>
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

static void look(setting_t *setting, int64_t now_ns) {
  setting_text_t text;
  setting->error = -attribute_read(setting->path, text, sizeof text);
  setting->due_ns = now_ns + LOOK_NS;
  if (setting->error) return;
  const int is_asked = strcmp(text, setting->asked) == 0; /* at last, where something had held it down */
  if (setting->held[0] && !is_asked && strcmp(text, setting->held) != 0) {
    setting->foreign_ns = now_ns;
    setting->asked[0] = setting->held[0] = 0; /* overruled: the next turn asks again */
    setting->due_ns = now_ns;
  } else if (is_asked || now_ns >= setting->asked_ns + SETTLE_NS) {
    strcpy(setting->held, text);
  } else {
    setting->due_ns = now_ns;
  }
}

int settings_govern(settings_t *settings, const setting_text_t *wanted, int64_t now_ns) {
  const uint64_t writes = settings->writes;
  uint32_t calls = 0;
  for (uint32_t i = 0; i < settings->count && calls < settings->calls_max; i++) {
    uint32_t place = (settings->next + i) % settings->count;
    setting_t *setting = &settings->each[place];
    if (!wanted[place][0]) {
      setting->asked[0] = setting->held[0] = 0;
      setting->due_ns = 0;
      continue;
    }
    int is_new = strcmp(setting->asked, wanted[place]) != 0;
    if (now_ns < setting->due_ns && !(is_new && setting->asked[0])) continue; /* only what failed waits for its time */
    if (is_new) {
      ask(settings, setting, wanted[place], now_ns);
    } else {
      look(setting, now_ns);
    }
    if (++calls == settings->calls_max) settings->next = place + 1;
  }
  settings->calls = calls;
  return settings->writes != writes;
}

int settings_show(const settings_t *settings, setting_shown_t out[SETTINGS_MAX]) {
  int changed = 0;
  for (uint32_t i = 0; i < settings->count; i++) {
    const setting_t *setting = &settings->each[i];
    changed |= out[i].error != setting->error || out[i].foreign_ns != setting->foreign_ns ||
               strcmp(out[i].held, setting->held) != 0;
    memcpy(out[i].held, setting->held, sizeof out[i].held);
    out[i].error = setting->error;
    out[i].foreign_ns = setting->foreign_ns;
  }
  return changed;
}
