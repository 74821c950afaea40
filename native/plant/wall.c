#include "plant/wall.h"

#include <stdio.h>
#include <string.h>

#include "plant/session.h"
#include "plant/supply.h"

const plant_supply_t *plant_host_supply(const plant_host_t *host) {
  return &host->file->spec.given.supply;
}

static void log_switch(session_t *session, enum plant_power from) {
  session_log(session,
              (plant_event_t){.kind = PLANT_WRITE_POWER, .old_value = from, .new_value = session->draft->supply.power});
}

int plant_host_switch_off(plant_host_t *host) {
  session_t session;
  int error = session_change(host, &session);
  if (error) return error;
  enum plant_power before = session.draft->supply.power;
  if (before == PLANT_POWER_OFF) return session_end(&session, 0);
  supply_off(session.file, session.draft, session.now_ns);
  log_switch(&session, before);
  return session_end(&session, 0);
}

int plant_host_switch_on(plant_host_t *host) {
  session_t session;
  int error = session_change(host, &session);
  if (error) return error;
  if (session.draft->supply.power != PLANT_POWER_OFF) return session_end(&session, 0);
  error = supply_boot(session.spec, session.draft, session.now_ns);
  if (!error) log_switch(&session, PLANT_POWER_OFF);
  return session_end(&session, error);
}

/* As a version 4 UUID. */
static void write_boot_id(const supply_t *supply, char id[PLANT_BOOT_ID_BYTES]) {
  uint64_t high = supply->boot_bits[0], low = supply->boot_bits[1];
  snprintf(id, PLANT_BOOT_ID_BYTES, "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(high >> 32),
           (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xfff), (unsigned)(low >> 48 & 0x3fff) | 0x8000u,
           (unsigned long long)(low & 0xffffffffffffull));
}

int plant_host_wall_log(plant_host_t *host, uint32_t from, float *out, uint32_t room, uint32_t *count) {
  session_t session;
  int error = session_look(host, &session);
  if (error) return error;
  int64_t rows = session.state->tick / ROW_TICKS;
  if (rows > ROWS_MAX) rows = ROWS_MAX;
  for (*count = 0; *count < room && from + *count < rows; (*count)++) out[*count] = session.file->wall_w[from + *count];
  return session_end(&session, 0);
}

int plant_host_wall(plant_host_t *host, plant_wall_t *out) {
  session_t session;
  int error = session_look(host, &session);
  if (error) return error;
  const supply_t *supply = &session.state->supply;
  memset(out, 0, sizeof *out);
  out->power = supply->power;
  out->boot = supply->boot;
  out->since_ns = supply->since_ns;
  write_boot_id(supply, out->boot_id);
  out->power_w = supply_power_w(session.spec, session.state);
  for (uint32_t power = 0; power < PLANT_POWERS; power++) {
    out->time_ns[power] = supply_time_ns(supply, power, session.now_ns);
    out->energy_j[power] = supply_energy_j(session.spec, session.state, power, session.now_ns);
  }
  return session_end(&session, 0);
}
