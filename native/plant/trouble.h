/* What the faults of a host do within its state: when each begins, strikes and ends, and what sensors then show. */
#ifndef EAGENT_PLANT_TROUBLE_H
#define EAGENT_PLANT_TROUBLE_H

#include "plant/file.h"

#define NEVER INT64_MAX

int trouble_is_sane(const faults_t *faults);
/* Whether it may stand in the table. */
int trouble_is_value(double value);
/* At a tick's beginning, or after a change to the table: what is due by then. */
void trouble_step(plant_file_t *file, state_t *state);
/* Make a fault end: one of the table's, which moves up; all of a kind that are of this GPU (PLANT_NO_GPU: of any). */
void trouble_end(state_t *state, uint32_t place);
void trouble_cure(state_t *state, enum plant_fault_kind kind, uint32_t gpu);

/* The first fault of this kind that has begun and is of this GPU; NULL if none is. */
const fault_t *trouble_of_gpu(const faults_t *faults, enum plant_fault_kind kind, uint32_t gpu);
/* Whether the next reading that a fault of this kind might strike is struck by it. */
int trouble_hits(plant_file_t *file, const fault_t *fault);
/* Change what the sensor says, or not. */
void trouble_sense(plant_file_t *file, const state_t *state, uint32_t gpu, sensor_t *sensor);
/* Likewise of a sample of that time. */
uint32_t trouble_sample_mw(const state_t *state, uint32_t gpu, int64_t time_ns, uint32_t power_mw);

/* Do at once what a fault that strikes does. Nothing while the host is not on. */
void strike(plant_file_t *file, state_t *state, const plant_fault_t *fault);

#endif
