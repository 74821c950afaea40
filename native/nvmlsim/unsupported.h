/* The names of NVML that the simulated library exports and does not implement, sorted: what nvidia-ml-py looks up, and
 * older names. To implement one, take it out here and put its prototype into nvml_abi.h. */
#ifndef EAGENT_NVMLSIM_UNSUPPORTED_H
#define EAGENT_NVMLSIM_UNSUPPORTED_H

/* clang-format off */
#define NVMLSIM_UNSUPPORTED(X)                                                                                         \
  X(nvmlComputeInstanceDestroy) X(nvmlComputeInstanceGetInfo_v2) X(nvmlDeviceClearAccountingPids)                      \
  X(nvmlDeviceClearCpuAffinity) X(nvmlDeviceClearEccErrorCounts) X(nvmlDeviceClearFieldValues)                         \
  X(nvmlDeviceCreateGpuInstance) X(nvmlDeviceCreateGpuInstanceWithPlacement) X(nvmlDeviceDiscoverGpus)                 \
  X(nvmlDeviceFreezeNvLinkUtilizationCounter) X(nvmlDeviceGetAccountingBufferSize) X(nvmlDeviceGetAccountingMode)      \
  X(nvmlDeviceGetAccountingPids) X(nvmlDeviceGetAccountingStats) X(nvmlDeviceGetAccountingStats_v2)                    \
  X(nvmlDeviceGetActiveVgpus) X(nvmlDeviceGetAdaptiveClockInfoStatus) X(nvmlDeviceGetAddressingMode)                   \
  X(nvmlDeviceGetAutoBoostedClocksEnabled) X(nvmlDeviceGetBBXTimeData_v1) X(nvmlDeviceGetBankRemapperStatus_v1)        \
  X(nvmlDeviceGetBoardPartNumber) X(nvmlDeviceGetBridgeChipInfo) X(nvmlDeviceGetBusType)                               \
  X(nvmlDeviceGetC2cModeInfoV) X(nvmlDeviceGetCapabilities) X(nvmlDeviceGetClkMonStatus)                               \
  X(nvmlDeviceGetClockOffsets) X(nvmlDeviceGetConfComputeGpuAttestationReport)                                         \
  X(nvmlDeviceGetConfComputeGpuCertificate) X(nvmlDeviceGetConfComputeMemSizeInfo)                                     \
  X(nvmlDeviceGetConfComputeProtectedMemoryUsage) X(nvmlDeviceGetCoolerInfo) X(nvmlDeviceGetCpuAffinity)               \
  X(nvmlDeviceGetCpuAffinityWithinScope) X(nvmlDeviceGetCreatableVgpus) X(nvmlDeviceGetCurrentClockFreqs)              \
  X(nvmlDeviceGetDefaultEccMode) X(nvmlDeviceGetDetailedEccErrors) X(nvmlDeviceGetDramEncryptionMode)                  \
  X(nvmlDeviceGetDriverModel) X(nvmlDeviceGetDriverModel_v2) X(nvmlDeviceGetDynamicPstatesInfo)                        \
  X(nvmlDeviceGetEccMode) X(nvmlDeviceGetEncoderCapacity) X(nvmlDeviceGetEncoderSessions)                              \
  X(nvmlDeviceGetEncoderStats) X(nvmlDeviceGetFBCSessions) X(nvmlDeviceGetFBCStats)                                    \
  X(nvmlDeviceGetFanControlPolicy_v2) X(nvmlDeviceGetFanSpeed) X(nvmlDeviceGetFanSpeedRPM)                             \
  X(nvmlDeviceGetFanSpeed_v2) X(nvmlDeviceGetGpcClkMinMaxVfOffset) X(nvmlDeviceGetGpcClkVfOffset)                      \
  X(nvmlDeviceGetGpuFabricInfo) X(nvmlDeviceGetGpuFabricInfoV) X(nvmlDeviceGetGpuFabricInfo_v4)                        \
  X(nvmlDeviceGetGpuInstanceById) X(nvmlDeviceGetGpuInstancePossiblePlacements_v2)                                     \
  X(nvmlDeviceGetGpuInstanceProfileInfo) X(nvmlDeviceGetGpuInstanceProfileInfoByIdV)                                   \
  X(nvmlDeviceGetGpuInstanceProfileInfoV) X(nvmlDeviceGetGpuInstanceRemainingCapacity) X(nvmlDeviceGetGpuInstances)    \
  X(nvmlDeviceGetGpuOperationMode) X(nvmlDeviceGetGridLicensableFeatures_v4) X(nvmlDeviceGetGspFirmwareMode)           \
  X(nvmlDeviceGetGspFirmwareVersion) X(nvmlDeviceGetHandleBySerial) X(nvmlDeviceGetHandleByUUIDV)                      \
  X(nvmlDeviceGetHostVgpuMode) X(nvmlDeviceGetHostname_v1) X(nvmlDeviceGetInforomConfigurationChecksum)                \
  X(nvmlDeviceGetInforomImageVersion) X(nvmlDeviceGetInforomVersion) X(nvmlDeviceGetIrqNum)                            \
  X(nvmlDeviceGetJpgUtilization) X(nvmlDeviceGetLastBBXFlushTime) X(nvmlDeviceGetMPSComputeRunningProcesses)           \
  X(nvmlDeviceGetMPSComputeRunningProcesses_v2) X(nvmlDeviceGetMPSComputeRunningProcesses_v3)                          \
  X(nvmlDeviceGetMarginTemperature) X(nvmlDeviceGetMemClkMinMaxVfOffset) X(nvmlDeviceGetMemClkVfOffset)                \
  X(nvmlDeviceGetMemoryAffinity) X(nvmlDeviceGetMemoryBusWidth) X(nvmlDeviceGetMemoryErrorCounter)                     \
  X(nvmlDeviceGetMemoryLimits_v1) X(nvmlDeviceGetMinMaxClockOfPState) X(nvmlDeviceGetMinMaxFanSpeed)                   \
  X(nvmlDeviceGetModuleId) X(nvmlDeviceGetNumFans) X(nvmlDeviceGetNumGpuCores) X(nvmlDeviceGetNumaNodeId)              \
  X(nvmlDeviceGetNvLinkCapability) X(nvmlDeviceGetNvLinkErrorCounter) X(nvmlDeviceGetNvLinkInfo)                       \
  X(nvmlDeviceGetNvLinkRemoteDeviceType) X(nvmlDeviceGetNvLinkRemotePciInfo_v2) X(nvmlDeviceGetNvLinkState)            \
  X(nvmlDeviceGetNvLinkTelemetrySamples_v1) X(nvmlDeviceGetNvLinkUtilizationControl)                                   \
  X(nvmlDeviceGetNvLinkUtilizationCounter) X(nvmlDeviceGetNvLinkVersion) X(nvmlDeviceGetNvlinkBwMode)                  \
  X(nvmlDeviceGetNvlinkSupportedBwModes) X(nvmlDeviceGetOfaUtilization) X(nvmlDeviceGetP2PStatus)                      \
  X(nvmlDeviceGetPcieLinkMaxSpeed) X(nvmlDeviceGetPcieReplayCounter) X(nvmlDeviceGetPcieSpeed)                         \
  X(nvmlDeviceGetPcieThroughput) X(nvmlDeviceGetPdi) X(nvmlDeviceGetPerformanceModes)                                  \
  X(nvmlDeviceGetPgpuMetadataString) X(nvmlDeviceGetPlatformInfo) X(nvmlDeviceGetPowerMizerMode_v1)                    \
  X(nvmlDeviceGetPowerSource) X(nvmlDeviceGetRemappedRows) X(nvmlDeviceGetRemappedRows_v2)                             \
  X(nvmlDeviceGetRepairStatus) X(nvmlDeviceGetRetiredPages) X(nvmlDeviceGetRetiredPagesPendingStatus)                  \
  X(nvmlDeviceGetRetiredPages_v2) X(nvmlDeviceGetRowRemapperHistogram) X(nvmlDeviceGetRunningProcessDetailList)        \
  X(nvmlDeviceGetSramEccErrorStatus) X(nvmlDeviceGetSramUniqueUncorrectedEccErrorCounts)                               \
  X(nvmlDeviceGetSupportedPerformanceStates) X(nvmlDeviceGetSupportedVgpus) X(nvmlDeviceGetTargetFanSpeed)             \
  X(nvmlDeviceGetThermalSettings) X(nvmlDeviceGetTopologyCommonAncestor) X(nvmlDeviceGetTopologyNearestGpus)           \
  X(nvmlDeviceGetUnrepairableMemoryFlag_v1) X(nvmlDeviceGetVbiosVersion) X(nvmlDeviceGetVgpuCapabilities)              \
  X(nvmlDeviceGetVgpuHeterogeneousMode) X(nvmlDeviceGetVgpuInstancesUtilizationInfo) X(nvmlDeviceGetVgpuMetadata)      \
  X(nvmlDeviceGetVgpuProcessUtilization) X(nvmlDeviceGetVgpuProcessesUtilizationInfo)                                  \
  X(nvmlDeviceGetVgpuSchedulerCapabilities) X(nvmlDeviceGetVgpuSchedulerLog) X(nvmlDeviceGetVgpuSchedulerLog_v2)       \
  X(nvmlDeviceGetVgpuSchedulerState) X(nvmlDeviceGetVgpuSchedulerState_v2)                                             \
  X(nvmlDeviceGetVgpuTypeCreatablePlacements) X(nvmlDeviceGetVgpuTypeSupportedPlacements)                              \
  X(nvmlDeviceGetVgpuUtilization) X(nvmlDeviceGetVirtualizationMode) X(nvmlDeviceModifyDrainState)                     \
  X(nvmlDeviceOnSameBoard) X(nvmlDevicePerfMetricsGetSamples_v1) X(nvmlDeviceQueryDrainState)                          \
  X(nvmlDeviceReadPRMCounters_v1) X(nvmlDeviceReadWritePRM_v1) X(nvmlDeviceRemoveGpu)                                  \
  X(nvmlDeviceResetNvLinkErrorCounters) X(nvmlDeviceResetNvLinkUtilizationCounter) X(nvmlDeviceSetAccountingMode)      \
  X(nvmlDeviceSetAutoBoostedClocksEnabled) X(nvmlDeviceSetClockOffsets) X(nvmlDeviceSetComputeMode)                    \
  X(nvmlDeviceSetConfComputeUnprotectedMemSize) X(nvmlDeviceSetCpuAffinity)                                            \
  X(nvmlDeviceSetDefaultAutoBoostedClocksEnabled) X(nvmlDeviceSetDefaultFanSpeed_v2)                                   \
  X(nvmlDeviceSetDramEncryptionMode) X(nvmlDeviceSetDriverModel) X(nvmlDeviceSetEccMode)                               \
  X(nvmlDeviceSetFanControlPolicy) X(nvmlDeviceSetFanSpeed_v2) X(nvmlDeviceSetGpcClkVfOffset)                          \
  X(nvmlDeviceSetGpuOperationMode) X(nvmlDeviceSetHostname_v1) X(nvmlDeviceSetMemClkVfOffset)                          \
  X(nvmlDeviceSetMemoryLimits_v1) X(nvmlDeviceSetNvLinkDeviceLowPowerThreshold)                                        \
  X(nvmlDeviceSetNvLinkUtilizationControl) X(nvmlDeviceSetNvlinkBwMode) X(nvmlDeviceSetNvlinkBwModeAsync_v1)           \
  X(nvmlDeviceSetPowerMizerMode_v1) X(nvmlDeviceSetTemperatureThreshold) X(nvmlDeviceSetVgpuCapabilities)              \
  X(nvmlDeviceSetVgpuHeterogeneousMode) X(nvmlDeviceSetVgpuSchedulerState) X(nvmlDeviceSetVgpuSchedulerState_v2)       \
  X(nvmlDeviceSetVirtualizationMode) X(nvmlDeviceValidateInforom) X(nvmlDeviceVgpuForceGspUnload)                      \
  X(nvmlEventSetGetContextCount_v1) X(nvmlEventSetGetContextData_v1) X(nvmlEventSetGetContextInfo_v1)                  \
  X(nvmlEventSetGetGpuOperationalEventContextLegacyXid_v1) X(nvmlEventSetRegisterGpuOperationalEvents_v1)              \
  X(nvmlEventSetWait_v3) X(nvmlGetExcludedDeviceCount) X(nvmlGetExcludedDeviceInfoByIndex)                             \
  X(nvmlGetVgpuCompatibility) X(nvmlGetVgpuDriverCapabilities) X(nvmlGetVgpuVersion) X(nvmlGpmMetricsGet)              \
  X(nvmlGpmMigSampleGet) X(nvmlGpmQueryDeviceSupport) X(nvmlGpmQueryIfStreamingEnabled) X(nvmlGpmSampleAlloc)          \
  X(nvmlGpmSampleFree) X(nvmlGpmSampleGet) X(nvmlGpmSetStreamingEnabled) X(nvmlGpuInstanceCreateComputeInstance)       \
  X(nvmlGpuInstanceCreateComputeInstanceWithPlacement) X(nvmlGpuInstanceDestroy) X(nvmlGpuInstanceGetActiveVgpus)      \
  X(nvmlGpuInstanceGetComputeInstanceById) X(nvmlGpuInstanceGetComputeInstancePossiblePlacements)                      \
  X(nvmlGpuInstanceGetComputeInstanceProfileInfo) X(nvmlGpuInstanceGetComputeInstanceProfileInfoV)                     \
  X(nvmlGpuInstanceGetComputeInstanceRemainingCapacity) X(nvmlGpuInstanceGetComputeInstances)                          \
  X(nvmlGpuInstanceGetCreatableVgpus) X(nvmlGpuInstanceGetInfo) X(nvmlGpuInstanceGetVgpuHeterogeneousMode)             \
  X(nvmlGpuInstanceGetVgpuSchedulerLog) X(nvmlGpuInstanceGetVgpuSchedulerLog_v2)                                       \
  X(nvmlGpuInstanceGetVgpuSchedulerState) X(nvmlGpuInstanceGetVgpuSchedulerState_v2)                                   \
  X(nvmlGpuInstanceGetVgpuTypeCreatablePlacements) X(nvmlGpuInstanceSetVgpuHeterogeneousMode)                          \
  X(nvmlGpuInstanceSetVgpuSchedulerState) X(nvmlGpuInstanceSetVgpuSchedulerState_v2) X(nvmlSetVgpuVersion)             \
  X(nvmlSystemEventSetCreate) X(nvmlSystemEventSetFree) X(nvmlSystemEventSetWait) X(nvmlSystemGetCPER_v1)              \
  X(nvmlSystemGetConfComputeCapabilities) X(nvmlSystemGetConfComputeGpusReadyState)                                    \
  X(nvmlSystemGetConfComputeKeyRotationThresholdInfo) X(nvmlSystemGetConfComputeSettings)                              \
  X(nvmlSystemGetConfComputeState) X(nvmlSystemGetDriverBranch) X(nvmlSystemGetHicVersion)                             \
  X(nvmlSystemGetNvlinkBwMode) X(nvmlSystemGetProcessName) X(nvmlSystemGetTopologyGpuSet)                              \
  X(nvmlSystemRegisterEvents) X(nvmlSystemSetConfComputeGpusReadyState)                                                \
  X(nvmlSystemSetConfComputeKeyRotationThresholdInfo) X(nvmlSystemSetNvlinkBwMode) X(nvmlUnitGetCount)                 \
  X(nvmlUnitGetDevices) X(nvmlUnitGetFanSpeedInfo) X(nvmlUnitGetHandleByIndex) X(nvmlUnitGetLedState)                  \
  X(nvmlUnitGetPsuInfo) X(nvmlUnitGetTemperature) X(nvmlUnitGetUnitInfo) X(nvmlUnitSetLedState)                        \
  X(nvmlVgpuInstanceClearAccountingPids) X(nvmlVgpuInstanceGetAccountingMode) X(nvmlVgpuInstanceGetAccountingPids)     \
  X(nvmlVgpuInstanceGetAccountingStats) X(nvmlVgpuInstanceGetEccMode) X(nvmlVgpuInstanceGetEncoderCapacity)            \
  X(nvmlVgpuInstanceGetEncoderSessions) X(nvmlVgpuInstanceGetEncoderStats) X(nvmlVgpuInstanceGetFBCSessions)           \
  X(nvmlVgpuInstanceGetFBCStats) X(nvmlVgpuInstanceGetFbUsage) X(nvmlVgpuInstanceGetFrameRateLimit)                    \
  X(nvmlVgpuInstanceGetGpuInstanceId) X(nvmlVgpuInstanceGetGpuPciId) X(nvmlVgpuInstanceGetLicenseInfo_v2)              \
  X(nvmlVgpuInstanceGetLicenseStatus) X(nvmlVgpuInstanceGetMdevUUID) X(nvmlVgpuInstanceGetMetadata)                    \
  X(nvmlVgpuInstanceGetPlacementId) X(nvmlVgpuInstanceGetRuntimeStateSize) X(nvmlVgpuInstanceGetType)                  \
  X(nvmlVgpuInstanceGetUUID) X(nvmlVgpuInstanceGetVmDriverVersion) X(nvmlVgpuInstanceGetVmID)                          \
  X(nvmlVgpuInstanceSetEncoderCapacity) X(nvmlVgpuTypeGetBAR1Info) X(nvmlVgpuTypeGetCapabilities)                      \
  X(nvmlVgpuTypeGetClass) X(nvmlVgpuTypeGetDeviceID) X(nvmlVgpuTypeGetFbReservation)                                   \
  X(nvmlVgpuTypeGetFrameRateLimit) X(nvmlVgpuTypeGetFramebufferSize) X(nvmlVgpuTypeGetGpuInstanceProfileId)            \
  X(nvmlVgpuTypeGetGspHeapSize) X(nvmlVgpuTypeGetLicense) X(nvmlVgpuTypeGetMaxInstances)                               \
  X(nvmlVgpuTypeGetMaxInstancesPerGpuInstance) X(nvmlVgpuTypeGetMaxInstancesPerVm) X(nvmlVgpuTypeGetName)              \
  X(nvmlVgpuTypeGetNumDisplayHeads) X(nvmlVgpuTypeGetResolution)
/* clang-format on */

#endif
