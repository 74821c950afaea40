# How the numbers of GPUs, processors and supplies reach C from what eagent.sim reads of its files.
from libc.stdint cimport uint32_t
from libc.string cimport memcpy, memset

from plant.cpu cimport PLANT_RAPL_LIMITS, plant_cpu_model_t
from plant.lab cimport PLANT_HEAT_STAGES, plant_model_t
from plant.wall cimport plant_supply_t


cdef inline uint32_t to_milli(double value) except? 0xffffffff:
    return <uint32_t>(value * 1e3 + 0.5) if 0 <= value < 4e6 else 0xffffffff - 1


cdef inline int read_pair(double *out, object pair) except -1:
    out[0], out[1] = pair
    return 0


cdef inline int read_model(plant_model_t *out, object model) except -1:
    """The sections and keys are those of eagent/sim/models/*.toml; eagent.sim.model checks and explains them."""
    identity, limits, clocks = model["identity"], model["limits"], model["clocks"]
    power, heat, cap, sensor = model["power"], model["heat"], model["cap"], model["sensor"]
    calls = model["calls"]
    cdef bytes name = identity["name"].encode()[:63]
    memset(out, 0, sizeof(plant_model_t))
    memcpy(out.name, <const char *>name, len(name))
    out.architecture, out.brand = identity["architecture"], identity["brand"]
    out.compute_major, out.compute_minor = identity["compute_capability"]
    out.pci_device_id, out.pci_subsystem_id = identity["pci_device_id"], identity["pci_subsystem_id"]
    out.memory_total_b = identity["memory_b"]
    out.limit_min_mw, out.limit_max_mw = to_milli(limits["min_w"]), to_milli(limits["max_w"])
    out.limit_default_mw = to_milli(limits["default_w"])
    out.clock_min_mhz, out.clock_max_mhz = clocks["min_mhz"], clocks["max_mhz"]
    out.clock_step_mhz, out.clock_idle_mhz = clocks["step_mhz"], clocks["idle_mhz"]
    out.clock_base_mhz = clocks["base_mhz"]
    out.memory_clock_mhz, out.feed_mhz = clocks["memory_mhz"], clocks["feed_mhz"]
    read_pair(out.clock_delay_s, clocks["delay_s"])
    out.deep_idle_w, out.base_w = power["deep_idle_w"], power["base_w"]
    out.memory_w, out.compute_w = power["memory_w"], power["compute_w"]
    out.leak_w_per_k, out.leak_reference_c = power["leak_w_per_k"], power["leak_reference_c"]
    out.volt_min, out.volt_corner_mhz = power["volt_min"], power["volt_corner_mhz"]
    out.volt_exponent, out.rise_s = power["volt_exponent"], power["rise_s"]
    for i in range(PLANT_HEAT_STAGES):
        out.heat_k_per_w[i], out.heat_s[i] = heat["resistance_k_per_w"][i], heat["time_s"][i]
    out.inlet_c, out.slow_c, out.stop_c = heat["inlet_c"], heat["slow_c"], heat["stop_c"]
    out.cap_target, out.cap_clamp = cap["target"], cap["clamp"]
    out.cap_memory_s, out.cap_steps = cap["memory_s"], cap["steps"]
    read_pair(out.limit_delay_s, cap["delay_s"])
    out.sensor_period_s, out.sensor_window_s = sensor["period_s"], sensor["window_s"]
    out.sensor_jitter, out.sensor_noise_w = sensor["jitter"], sensor["noise_w"]
    read_pair(out.sensor_gain, sensor["gain"])
    read_pair(out.sensor_offset_w, sensor["offset_w"])
    read_pair(out.energy_gain, sensor["energy_gain"])
    out.average_window_s, out.sample_period_s = sensor["average_window_s"], sensor["sample_period_s"]
    out.has_counter = sensor["counter"] == "yes"
    out.plain_is_average = sensor["plain"] == "average"
    out.call_power_s, out.call_clock_s = calls["power_s"], calls["clock_s"]
    out.call_utilisation_s, out.call_memory_s = calls["utilisation_s"], calls["memory_s"]
    out.call_other_s = calls["other_s"]
    read_pair(out.call_set_s, calls["set_s"])
    return 0


cdef inline int read_cpu(plant_cpu_model_t *out, object model) except -1:
    """The sections and keys are those of eagent/sim/models/cpu/*.toml; eagent.sim.processor explains them."""
    identity, topology, clocks, power = model["identity"], model["topology"], model["clocks"], model["power"]
    limits = model["limits"]
    drivers = ("acpi-cpufreq", "intel_pstate")  # in the order of enum plant_cpufreq
    powercaps = ("intel-rapl", "intel-rapl-mmio", "amd")  # of enum plant_powercap
    cdef bytes name = identity["name"].encode()[:63]
    memcpy(out.name, <const char *>name, len(name))
    out.driver, out.powercap = drivers.index(identity["driver"]), powercaps.index(identity["powercap"])
    out.packages, out.cores = topology["packages"], topology["cores"]
    out.threads = topology["threads_per_gpu"]
    out.min_khz, out.max_khz, out.epp_drop = clocks["min_khz"], clocks["max_khz"], clocks["epp_drop"]
    out.idle_w, out.core_w = power["idle_w"], power["core_w"]
    out.dram_idle_w, out.dram_w = power["dram_idle_w"], power["dram_w"]
    out.volt_min, out.volt_corner_khz = power["volt_min"], power["volt_corner_khz"]
    out.volt_exponent = power["volt_exponent"]
    for i in range(PLANT_RAPL_LIMITS):
        out.limit_uw[i] = out.limit_max_uw[i] = limits["power_uw"][i]
        out.window_us[i] = limits["window_us"][i]
    out.energy_range_uj = limits["energy_range_uj"]
    return 0


cdef inline int read_supply(plant_supply_t *out, object supply) except -1:
    """The keys are those of eagent.sim.supply, which explains them."""
    out.standby_w, out.boot_w, out.rest_w = supply["standby_w"], supply["boot_w"], supply["rest_w"]
    out.boot_s, out.inlet_c = supply["boot_s"], supply["inlet_c"]
    out.fan_w, out.fan_min, out.fan_full_w = supply["fan_w"], supply["fan_min"], supply["fan_full_w"]
    out.loss_w, out.loss_share = supply["loss_w"], supply["loss_share"]
    return 0
