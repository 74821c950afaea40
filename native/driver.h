/* The driver's life under the loop: it may be loaded anew, lose GPUs and get them back, and forget what it was told.
 *
 * After a reload every handle is void, and only NVML opened anew gives others: by UUID, because an index may then name
 * another board. Nobody may be in a call of NVML meanwhile. Who calls it holds a share of the driver, and who opens it
 * anew holds it alone; both only try, so that a call that hangs keeps nobody waiting but who is in it.
 *
 * A GPU that is to be reset must be open in no process. Then NVML is opened anew without opening any GPU, and handles
 * are taken of all others, by their PCI addresses: whoever looks for a UUID opens all that it looks at.
 *
 * That the driver has forgotten a GPU's settings is known by evidence: its handle was void, its energy counter began
 * anew, or its persistence mode went from on to off. A limit that was moved then was dropped, and not set by somebody
 * else; likewise one that is found at the default within 2.5 s after that. Locked clocks can't be read: after any such
 * evidence they are unknown.
 */
#ifndef EAGENT_DRIVER_H
#define EAGENT_DRIVER_H

#include <pthread.h>
#include <stdint.h>

#include "nvml.h"

#define DRIVER_GPUS_MAX 64u
#define DRIVER_UUID     96u
#define DRIVER_BUS_ID   32u

/* What is told of one GPU. */
typedef struct driver_gpu_shown {
  nvmlReturn_t code;      /* NVML_SUCCESS, or why there is no driver for it */
  int64_t void_ns;        /* since when; 0: it answers */
  uint32_t forgets;       /* times that there was evidence of the driver's having forgotten its settings ... */
  int64_t forgot_ns;      /* ... the last of them */
  int is_kept;            /* at the last of them: the limit was ours all the same, ... */
  uint32_t found_mw;      /* ... and it was this; 0: not known */
  nvmlReturn_t mode_code; /* of the last try to switch it */
  int persistence;        /* its persistence mode, 0 or 1; -1: not known */
  int is_gone;            /* its handle was given up, and it is open here no more */
} driver_gpu_shown_t;

enum driver_mode { DRIVER_MODE_LEFT = 0, DRIVER_MODE_ON = 1, DRIVER_MODE_OFF = 2 };

typedef struct driver_gpu {
  char uuid[DRIVER_UUID], bus_id[DRIVER_BUS_ID];
  nvmlDevice_t handle; /* NULL: there is none. Written by who holds the driver alone */
  uint64_t energy_mj;  /* atomic, as the next: what anybody last saw of its counter ... */
  uint32_t renewals;   /* ... and how often that was seen to have begun anew */

  /* The actuator's own. */
  uint32_t default_mw;     /* its limit after a reset; 0: not known */
  uint32_t renewals_known; /* of these, those that have been taken for evidence */
  int was_void, lost_mode; /* evidence that is not yet used */
  driver_gpu_shown_t shown;
} driver_gpu_t;

typedef struct driver {
  nvml_t *nvml;
  uint32_t gpus;
  driver_gpu_t gpu[DRIVER_GPUS_MAX];
  pthread_rwlock_t lock;
  int64_t wanted_until_ns; /* atomic: until then nobody takes a share, for who wants it alone */
  uint64_t suspects;       /* atomic, a bit each: GPUs that answered a reading as if there was no driver */
  uint32_t generation;     /* of the handles; written by who holds the driver alone */
  int is_open;
  uint64_t given_up;         /* a bit each: GPUs that are not opened */
  int64_t since_ns, wait_ns; /* since when it must be opened anew, or was last, and how long is waited then */
  int64_t sought_ns;         /* when who has no handle was last looked for */
} driver_t;

/* What was seen of a GPU's limit. */
typedef struct driver_look {
  nvmlReturn_t code;
  uint32_t limit_mw;   /* 0: it could not be read */
  uint32_t ours_mw;    /* our last write; 0: none */
  uint32_t settled_mw; /* where we have it, by the look before; 0: nowhere */
} driver_look_t;

/* `nvml` is open, with these handles; NULL where a GPU is not to be opened. */
void driver_init(driver_t *driver, nvml_t *nvml, uint32_t gpus, const nvmlDevice_t *handles);
void driver_destroy(driver_t *driver);

/* Whether a call that used to work answers as if driver or GPU were gone. Of getters only. */
int driver_is_void(nvmlReturn_t code);

/* Take a share for some calls, if it can be had at once. Returns whether it was. Thread-safe, as the five that follow.
 */
int driver_enter(driver_t *driver);
void driver_leave(driver_t *driver);
/* A GPU's energy counter was read. */
void driver_count(driver_t *driver, uint32_t i, uint64_t energy_mj);
/* A reading of a GPU was answered with this. */
void driver_suspect(driver_t *driver, uint32_t i, nvmlReturn_t code);

/* What a GPU's limit is now; 0: it is not told. */
uint32_t driver_limit_mw(driver_t *driver, uint32_t i);
/* Write a GPU's limit as it is now, which is this; NVML_ERROR_IN_USE: somebody has moved it. */
nvmlReturn_t driver_probe(driver_t *driver, uint32_t i, uint32_t limit_mw);

/* The rest is the actuator's. */

/* The GPUs, a bit each, that are to be looked at now, before their time. */
uint64_t driver_doubts(driver_t *driver);
/* Read what tells of a GPU's life beside its limit. */
void driver_look(driver_t *driver, uint32_t i);
/* A loop before this one held a GPU's limit, and it is another one now. Whose limit is held has its persistence mode
 * on, where that can be. */
void driver_resume(driver_t *driver, uint32_t i);
/* Have a GPU's persistence mode as it is to be, DRIVER_MODE_*. */
void driver_switch(driver_t *driver, uint32_t i, uint8_t mode);
/* Judge a look at a GPU's limit. Returns whether the driver has forgotten that limit. */
int driver_judge(driver_t *driver, uint32_t i, const driver_look_t *look, int64_t now_ns);
/* The GPUs, a bit each, that have no driver now. */
uint64_t driver_voids(const driver_t *driver);
/* Give up the handles of these GPUs, a bit each, and have those of all others, if nobody is in the driver just now. */
void driver_give_up(driver_t *driver, uint64_t gpus, int64_t now_ns);
/* Whether one GPU can be given up without all others. */
int driver_can_part(const driver_t *driver);
/* Look for GPUs that have no handle, or open NVML anew, if it is needed and its time has come. */
void driver_mind(driver_t *driver, int64_t now_ns);

#endif
