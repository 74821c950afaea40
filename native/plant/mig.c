#include "plant/mig.h"

#include <errno.h>
#include <stdio.h>

#include "plant/random.h"
#include "plant/session.h"

#define AMPERE_MAJOR 8u

/* The big chips of each generation since Ampere: compute capability 8.0, 9.0, ... */
static int can_divide(const plant_model_t *model) {
  return model->compute_major >= AMPERE_MAJOR && model->compute_minor == 0;
}

static int fits(const plant_model_t *model, uint32_t instances, uint32_t slices, uint64_t memory_b) {
  if (instances == 0) return 1;
  return instances <= PLANT_MIG_MAX && slices >= 1 && slices <= PLANT_MIG_MAX / instances && memory_b >= 1 &&
         memory_b <= model->memory_total_b / instances;
}

int mig_is_sane(const spec_t *spec, const plant_mig_t *mig) {
  return mig->mode <= 1 && mig->pending <= 1 && fits(&spec->given.model, mig->instances, mig->slices, mig->memory_b);
}

void mig_boot(state_t *state) {
  for (uint32_t i = 0; i < PLANT_GPUS_MAX; i++) {
    plant_mig_t *mig = &state->migs[i];
    if (mig->mode != mig->pending) *mig = (plant_mig_t){.mode = mig->pending, .pending = mig->pending};
  }
}

int plant_host_mig(plant_host_t *host, uint32_t index, plant_mig_t *mig) {
  if (index >= plant_host_gpu_count(host)) return -ERANGE;
  session_t session;
  int error = session_look_on(host, &session);
  if (error) return error;
  *mig = session.state->migs[index];
  return session_end(&session, can_divide(&session.spec->given.model) ? 0 : -ENOTSUP);
}

static uint32_t log_value(const plant_mig_t *mig) {
  return mig->mode | mig->instances << 8;
}

static void put(session_t *session, uint32_t index, plant_mig_t mig) {
  plant_mig_t *now = &session->draft->migs[index];
  session_log(session,
              (plant_event_t){
                  .kind = PLANT_WRITE_MIG, .gpu = index, .old_value = log_value(now), .new_value = log_value(&mig)});
  *now = mig;
  signal_raise(&session->draft->signals,
               (plant_signal_t){.time_ns = session->now_ns, .type = PLANT_SIGNAL_MIG, .gpu = index});
}

int plant_host_divide(plant_host_t *host, uint32_t index, uint32_t instances, uint32_t slices, uint64_t memory_b) {
  const plant_model_t *model = &host->file->spec.given.model;
  if (index >= plant_host_gpu_count(host)) return -ERANGE;
  if (!can_divide(model)) return -ENOTSUP;
  if (!fits(model, instances, slices, memory_b)) return -EINVAL;
  session_t session;
  int error = session_change_on(host, &session);
  if (error) return error;
  plant_mig_t mig = {0};
  if (instances) mig = (plant_mig_t){1, 1, instances, slices, memory_b};
  put(&session, index, mig);
  return session_end(&session, 0);
}

int plant_host_set_mig_mode(plant_host_t *host, uint32_t index, uint32_t mode) {
  if (index >= plant_host_gpu_count(host) || mode > 1) return -ERANGE;
  if (!can_divide(&host->file->spec.given.model)) return -ENOTSUP;
  session_t session;
  int error = session_change_on(host, &session);
  if (error) return error;
  plant_mig_t *mig = &session.draft->migs[index];
  int waits = mode != mig->mode && session.draft->gpus[index].resident;
  if (waits) {
    mig->pending = mode;
  } else if (mode != mig->mode) {
    put(&session, index, (plant_mig_t){.mode = mode, .pending = mode});
  } else {
    mig->pending = mode;
  }
  error = session_end(&session, 0);
  return error == 0 && waits ? -EBUSY : error;
}

void plant_host_mig_id(const plant_host_t *host, uint32_t gpu, uint32_t instance, char id[PLANT_MIG_ID_BYTES]) {
  const uint64_t seed = host->file->spec.given.seed;
  uint64_t high = random_bits(seed, RANDOM_MIG_ID, gpu, 2 * instance);
  uint64_t low = random_bits(seed, RANDOM_MIG_ID, gpu, 2 * instance + 1);
  snprintf(id, PLANT_MIG_ID_BYTES, "MIG-%08x-%04x-5%03x-%04x-%012llx", (unsigned)(high >> 32),
           (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xfff), (unsigned)(low >> 48 & 0x3fff) | 0x8000u,
           (unsigned long long)(low & 0xffffffffffffull));
}
