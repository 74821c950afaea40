/* Calls of boards that came after those that are simulated (Blackwell, Rubin): arguments are checked as a driver would
 * that knows the calls, then no board supports them. */
#include <stddef.h>

#include "nvmlsim/library.h"

/* `version`: what the struct must bear; 0: it has no version. */
static nvmlReturn_t refuse(nvmlDevice_t device, const void *argument, unsigned int version) {
  const nvmlReturn_t status = library_check(device, argument);
  if (status != NVML_SUCCESS) return status;
  const bool is_right = version == 0 || *(const unsigned int *)argument == version;
  return is_right ? NVML_ERROR_NOT_SUPPORTED : NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
}

nvmlReturn_t nvmlDeviceWorkloadPowerProfileGetProfilesInfo(nvmlDevice_t device, void *info) {
  return refuse(device, info, nvmlWorkloadPowerProfileProfilesInfo_v1);
}

nvmlReturn_t nvmlDeviceWorkloadPowerProfileGetCurrentProfiles(nvmlDevice_t device, void *profiles) {
  return refuse(device, profiles, nvmlWorkloadPowerProfileCurrentProfiles_v1);
}

nvmlReturn_t nvmlDeviceWorkloadPowerProfileSetRequestedProfiles(nvmlDevice_t device, void *profiles) {
  return refuse(device, profiles, nvmlWorkloadPowerProfileRequestedProfiles_v1);
}

nvmlReturn_t nvmlDeviceWorkloadPowerProfileClearRequestedProfiles(nvmlDevice_t device, void *profiles) {
  return refuse(device, profiles, nvmlWorkloadPowerProfileRequestedProfiles_v1);
}

/* Its first member says what to do with the profiles; the version is in the call's name. */
nvmlReturn_t nvmlDeviceWorkloadPowerProfileUpdateProfiles_v1(nvmlDevice_t device, void *update) {
  const nvmlReturn_t status = library_check(device, update);
  if (status != NVML_SUCCESS) return status;
  const unsigned int operation = *(const unsigned int *)update;
  return operation < NVML_POWER_PROFILE_OPERATION_MAX ? NVML_ERROR_NOT_SUPPORTED : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t nvmlDevicePowerSmoothingSetState(nvmlDevice_t device, void *state) {
  return refuse(device, state, nvmlPowerSmoothingState_v1);
}

nvmlReturn_t nvmlDevicePowerSmoothingActivatePresetProfile(nvmlDevice_t device, void *profile) {
  return refuse(device, profile, nvmlPowerSmoothingProfile_v1);
}

nvmlReturn_t nvmlDevicePowerSmoothingUpdatePresetProfileParam(nvmlDevice_t device, void *profile) {
  return refuse(device, profile, nvmlPowerSmoothingProfile_v1);
}

nvmlReturn_t nvmlDeviceGetAdaptiveTgpModeInfo_v1(nvmlDevice_t device, void *info) {
  return refuse(device, info, 0);
}

nvmlReturn_t nvmlDeviceGetAdaptiveTgpMode_v1(nvmlDevice_t device, void *info) {
  return refuse(device, info, 0);
}

nvmlReturn_t nvmlDeviceSetAdaptiveTgpMode_v1(nvmlDevice_t device, nvmlEnableState_t mode) {
  const nvmlReturn_t status = library_check(device, &mode);
  if (status != NVML_SUCCESS) return status;
  return mode <= NVML_FEATURE_ENABLED ? NVML_ERROR_NOT_SUPPORTED : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t nvmlDeviceSetRusdSettings_v1(nvmlDevice_t device, void *settings) {
  return refuse(device, settings, nvmlRusdSettings_v1);
}
