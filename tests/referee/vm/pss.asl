// Five P-states for each of two CPUs, which is all that acpi-cpufreq needs. Its registers are the scratch bytes of two
// serial ports without a driver: they keep what is written, so the kernel reads back the state that it has set.
DefinitionBlock ("pss.aml", "SSDT", 2, "EAGENT", "PSS", 1)
{
  External (\_SB.CPUS.C000, DeviceObj)
  External (\_SB.CPUS.C001, DeviceObj)

  // MHz, mW, two latencies in us, the value to write, the value to read
  Name (\PSTS, Package () {
    Package () { 3500, 90000, 10, 10, 0x23, 0x23 },
    Package () { 2800, 60000, 10, 10, 0x1C, 0x1C },
    Package () { 2000, 35000, 10, 10, 0x14, 0x14 },
    Package () { 1400, 20000, 10, 10, 0x0E, 0x0E },
    Package () {  800, 10000, 10, 10, 0x08, 0x08 }
  })

  Scope (\_SB.CPUS.C000)
  {
    Method (_PSS) { Return (\PSTS) }
    Method (_PPC) { Return (0) }
    Name (_PSD, Package () { Package () { 5, 0, 0, 0xFC, 1 } })
    Name (_PCT, Package () {
      ResourceTemplate () { Register (SystemIO, 8, 0, 0x02FF) },
      ResourceTemplate () { Register (SystemIO, 8, 0, 0x02FF) }
    })
  }

  Scope (\_SB.CPUS.C001)
  {
    Method (_PSS) { Return (\PSTS) }
    Method (_PPC) { Return (0) }
    Name (_PSD, Package () { Package () { 5, 0, 1, 0xFC, 1 } })
    Name (_PCT, Package () {
      ResourceTemplate () { Register (SystemIO, 8, 0, 0x03EF) },
      ResourceTemplate () { Register (SystemIO, 8, 0, 0x03EF) }
    })
  }
}
