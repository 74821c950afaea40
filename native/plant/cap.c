#include "plant/cap.h"

#include <math.h>

void cap_forget(const spec_t *spec, cap_t *cap) {
  double top = model_top_step(&spec->physics);
  *cap = (cap_t){.ceiling = top, .clamp = top};
}

uint32_t cap_choose(cap_t *cap) {
  double exact = cap->ceiling + cap->carry;
  double step = most(0, floor(exact));
  cap->carry = exact - step;
  return (uint32_t)step;
}

/* The clock step at which the whole board draws power_w. */
static double fitting_step(const spec_t *spec, double power_w, double other_w, double drive_w) {
  double room_w = most(0, power_w - other_w);
  if (drive_w <= room_w) return model_top_step(&spec->physics);
  return model_step_of_drive(&spec->physics, room_w / drive_w);
}

void cap_control(const spec_t *spec, cap_t *cap, int64_t tick, const cap_seen_t *seen) {
  const plant_model_t *model = &spec->given.model;
  double top = model_top_step(&spec->physics);
  double other_w = spec->physics.still_w + model->memory_w * seen->memory;
  double drive_w = most(0, seen->power_w - other_w) / spec->physics.drive[seen->step];
  cap->drive_w += (drive_w - cap->drive_w) * spec->physics.cap_memory;
  cap->other_w += (other_w - cap->other_w) * spec->physics.cap_memory;
  if (tick % CONTROL_TICKS == CONTROL_TICKS - 1) {
    double want = fitting_step(spec, seen->limit_w * model->cap_target, cap->other_w, cap->drive_w);
    double move = most(-(double)model->cap_steps, least(want - cap->ceiling, model->cap_steps));
    cap->ceiling = least(cap->ceiling + move, top);
  }
  double most_w = seen->limit_w * model->cap_clamp;
  if (seen->end_w > most_w) {
    double all_w = most(0, seen->end_w - other_w) / spec->physics.drive[seen->step];
    cap->clamp = floor(fitting_step(spec, most_w, other_w, all_w));
    cap->ceiling = least(cap->ceiling, cap->clamp); /* go on from here: the way down from the top would take too long */
  } else if (cap->clamp < top) {
    cap->clamp += 1;
  }
}

int cap_is_sane(const cap_t *cap) {
  return cap->ceiling >= 0 && cap->ceiling < CLOCK_STEPS_MAX && cap->clamp >= 0 && cap->carry >= 0 && cap->carry <= 1;
}
