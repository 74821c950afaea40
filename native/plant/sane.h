/* What a mapped file may hold. It may be written by anybody who may open it, and a disk may err: all that indexes
 * memory, bounds a loop or could overflow is checked before it is used. What is only wrong is the user's. */
#ifndef EAGENT_PLANT_SANE_H
#define EAGENT_PLANT_SANE_H

#include "plant/file.h"

int spec_is_sane(const spec_t *spec);
int state_is_sane(const spec_t *spec, const state_t *state);

#endif
