/* The host's power as part of its state: off, booting or on, for how long it has been so, and what a boot resets. */
#ifndef EAGENT_PLANT_SUPPLY_H
#define EAGENT_PLANT_SUPPLY_H

#include "plant/file.h"

/* At the host's making: on, in its first boot. 0 or -errno. */
int supply_init(supply_t *supply);
int supply_is_sane(const supply_t *supply);
int supply_is_valid(const plant_supply_t *given);

/* At now_ns, which is within the present tick. */
void supply_off(plant_file_t *file, state_t *state, int64_t now_ns);
int supply_boot(const spec_t *spec, state_t *state, int64_t now_ns);
/* Whether the boot ends with the present tick's beginning, and what happens then. */
int supply_is_due(const state_t *state);
void supply_on(plant_file_t *file, state_t *state);

/* While on: count what was drawn until now, at the latest whenever the mean of 100 ms ends. */
void supply_settle(const spec_t *spec, state_t *state, int64_t now_ns);
/* Joules drawn in a state since the host's making; those in the present state up to now_ns. */
double supply_energy_j(const spec_t *spec, const state_t *state, uint32_t power, int64_t now_ns);
int64_t supply_time_ns(const supply_t *supply, uint32_t power, int64_t now_ns);
double supply_total_j(const spec_t *spec, const state_t *state, int64_t now_ns);
double supply_power_w(const spec_t *spec, const state_t *state);
/* What a host that is on draws from the wall if its GPUs, packages and memory draw parts_w. */
double supply_wall_w(const plant_supply_t *given, double parts_w);

#endif
